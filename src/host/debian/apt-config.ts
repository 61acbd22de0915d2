/**
 * A configuration for apt that shares the machine's sources, keys, pins, proxies and credentials, keeps everything it
 * writes in a folder of ours, and runs none of the machine's hooks (they may clean or notify the real system).
 */

/** For `apt-config dump --no-empty --format`: name, unit separator, value, record separator. */
export const DUMP_FORMAT = '%F\x1f%v\x1e';

const KEPT = [
  /^APT::(Architectures?|Default-Release|Sandbox|Key)(::|$)/,
  /^Acquire::(?!IndexTargets)/, // without the index targets: only Packages files are wanted
  /^Dir::Etc::(sourcelist|sourceparts|trusted|trustedparts|netrc|netrcparts|preferences|preferencesparts)$/,
  /^Dir::Bin(::|$)/,
  /^Dir::Etc$/,
];

/** The dump's records as pairs, in order. */
export function parseDump(stdout: string): [name: string, value: string][] {
  return stdout
    .split('\x1e')
    .map((record) => record.replace(/^\n/, '').split('\x1f'))
    .filter((parts): parts is [string, string] => parts.length === 2 && parts[0] !== '');
}

/**
 * The text of a private apt.conf, to be named by APT_CONFIG: it is read before the machine's files and points apt away
 * from them.
 * @param folder absolute; `lists/partial` must exist in it.
 * @param statusPath the dpkg status file that dependencies are resolved against.
 */
export function privateAptConfig(dump: string, folder: string, statusPath: string): string {
  const kept = parseDump(dump).filter(
    ([name, value]) => KEPT.some((rule) => rule.test(name)) && !/["\n\\]/.test(value),
  );
  const own: [string, string][] = [
    ['Dir', '/'],
    ['Dir::State', folder],
    ['Dir::State::lists', `${folder}/lists`],
    ['Dir::State::status', statusPath],
    ['Dir::State::extended_states', `${folder}/extended_states`],
    ['Dir::Cache', folder],
    ['Dir::Cache::archives', `${folder}/archives`],
    ['Dir::Log', folder],
    ['Dir::Log::Planner', ''],
    ['Dir::Etc::parts', '/dev/null'],
    ['Dir::Etc::main', '/dev/null'],
    ['Acquire::Languages', 'none'],
    ['Acquire::Retries', '3'],
    ['APT::Get::Show-User-Simulation-Note', 'false'],
    ['APT::Get::Assume-Yes', 'true'],
  ];
  return [...kept, ...own].map(([name, value]) => `${name} "${value}";\n`).join('');
}
