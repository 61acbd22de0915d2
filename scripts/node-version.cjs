'use strict';
// Loaded before anything else, so that an older Node says what it lacks and not where it failed.
// package.json's "engines" says the same; a test compares the two.
const NEEDED = [20, 19];

function isOldNode(version) {
  const [major, minor] = version.split('.').map(Number);
  return major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1]);
}

function requireNode() {
  if (!isOldNode(process.versions.node)) return;
  process.stderr.write(
    `hyperplug: Node.js ${NEEDED.join('.')} or newer is needed; ${process.execPath} is ${process.versions.node}\n`,
  );
  process.exit(1);
}

module.exports = { NEEDED, isOldNode, requireNode };
