#!/usr/bin/env node
'use strict';
// The command line in a container that works on a mounted folder: becomes the owner of that folder before anything else,
// so that what it writes belongs to whoever mounted it, whatever their number. Started as root with the right to change
// users and no other; started as somebody else it stays that.
const fs = require('node:fs');

if (process.getuid() === 0) {
  const { uid, gid } = fs.statSync(process.cwd());
  process.setgroups([gid]);
  process.setgid(gid);
  process.setuid(uid);
}
require('./main.cjs');
