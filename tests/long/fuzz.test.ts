// What the suite tries some hundred cases of, with a hundred thousand: `npm run test:long -- fuzz [--cases N]`.
import '../unit/hostile-wire.test.ts';
import '../unit/hostile-exchange.test.ts';
import '../unit/hostile-files.test.ts';
import '../cluster/hostile-sockets.test.ts';
