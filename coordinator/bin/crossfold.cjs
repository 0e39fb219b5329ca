#!/usr/bin/env node
'use strict';
// In a checkout: checks Node and provides what is missing, then runs the command line. Installed elsewhere (an image),
// there is no setup folder, and the build is all there is. ES5 down to the check, so that an old Node gets its one line.
// biome-ignore-start lint/style/useNodejsImportProtocol: an old Node does not know it
var fs = require('fs');
var path = require('path');
var childProcess = require('child_process');
// biome-ignore-end lint/style/useNodejsImportProtocol: an old Node does not know it

var setup = path.join(__dirname, '..', '..', 'setup');
var checkout = fs.existsSync(path.join(setup, 'check-node.cjs'));
if (checkout) require(path.join(setup, 'check-node.cjs'));
// The doctor is for machines where set-up may not succeed.
if (checkout && process.argv[2] === 'doctor') require('./doctor.cjs');
else {
  if (checkout) provide();
  require('./main.cjs');
}

function provide() {
  var stdio = ['ignore', 'ignore', 'inherit'];
  var done = childProcess.spawnSync(process.execPath, [path.join(setup, 'setup.mjs')], { stdio: stdio });
  if (done.status !== 0) process.exit(done.status === null ? 130 : done.status);
}
