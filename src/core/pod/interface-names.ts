/** What names of interfaces may look like, and that in words. */
export interface NameRule {
  readonly pattern: RegExp;
  readonly expected: string;
}

export const NIC_ID: NameRule = {
  pattern: /^[a-z0-9][a-z0-9-]{0,31}$/,
  expected: 'lower-case letters, digits and dashes, at most 32',
};

/** As the kernel takes it (net/core/dev.c: dev_valid_name), without the two that are directories of its settings. */
export const INTERFACE_NAME: NameRule = {
  pattern: /^(?!\.{1,2}$|all$|default$)[^\s/:]{1,15}$/,
  expected: 'an interface name: 1 to 15 characters without blanks, slashes and colons; not ., .., all or default',
};
