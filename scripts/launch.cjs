'use strict';
// The way into a clone: sets up what is stale, then is the command line, in this same process. CommonJS, as that is: Node then
// starts without its loader of modules.
require('./node-version.cjs').requireNode();
const { root, setUp } = require('./set-up.cjs');

setUp({ tests: false }).then((done) => {
  if (!done) return;
  const main = `${root}/dist/bundle/cli/main.js`;
  process.argv[1] = main;
  require(main);
});
