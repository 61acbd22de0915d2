export * from './recording-runner.js';
export * from './runner.js';
