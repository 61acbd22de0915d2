export { type ConnectOptions, connectHyperplug, type DaemonVersion } from './hyperplug.js';
