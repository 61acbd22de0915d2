/** Carries the use of a session from the process that opened it to the one that it becomes. */
export const SESSION_VARIABLE = 'HYPERPLUG_ROOTLESS_SESSION';
