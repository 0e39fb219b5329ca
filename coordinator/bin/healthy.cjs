#!/usr/bin/env node
'use strict';
// The image's health check: asks the service of this container whether it is ready. CROSSFOLD_HTTP is where it answers;
// where that is not set nothing is served, and there is nothing to ask.
const http = require('node:http');

const address = process.env.CROSSFOLD_HTTP;
const port = address === undefined || address === '' ? undefined : Number(address.slice(address.lastIndexOf(':') + 1));
if (port === undefined) process.exit(0);

const request = http.get({ host: '127.0.0.1', port, path: '/readyz', timeout: 4000 }, (response) => {
  response.resume();
  process.exit(response.statusCode === 200 ? 0 : 1);
});
request.on('timeout', () => request.destroy(new Error('no answer within 4 s')));
request.on('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
