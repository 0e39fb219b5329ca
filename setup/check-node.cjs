// ES5 on purpose: this file must run, and say something useful, on any Node that somebody may have.
'use strict';

/**
 * The range of package.json's `engines`: Node 23 removed a function that TensorFlow.js' native binding calls, and the tools
 * that a checkout is tested with install on nothing between 20 and 22.12.
 * @param {string} version
 */
function supported(version) {
  var parts = String(version).replace(/^v/, '').split('.');
  var major = Number(parts[0]);
  var minor = Number(parts[1]);
  return (major === 20 && minor >= 19) || (major === 22 && minor >= 12);
}

module.exports = { supported: supported };

if (!supported(process.versions.node)) {
  console.error(
    'crossfold: needs Node.js 20 from 20.19 on, or 22 from 22.12 on, this is ' +
      process.version +
      ' (' +
      process.execPath +
      '); see https://nodejs.org or run: nvm install 22',
  );
  process.exit(2);
}
