/** What set-up knows of a checkout, for the doctor; only ever imported where there is a setup folder. */
export { INSTALL as brokerInstall, programOf as brokerOf } from '../../../setup/broker.mjs';
export { build } from '../../../setup/build.mjs';
export { contextOf } from '../../../setup/context.mjs';
export { packages } from '../../../setup/packages.mjs';
export { MissingError } from '../../../setup/say.mjs';
export { COMPILERS, compilerOf, tensorflow, variantOf } from '../../../setup/tensorflow.mjs';
