import type { BuiltinEndpoint, NicEndpoint, VmNic, VmSpec } from 'hyperplug';
import { clockArgs } from './kernel-args.js';
import type { Options } from './options.js';
import { channelPath, pidPath, qmpPath } from './run-dir.js';

/** In an option's value QEMU takes a comma for the next option, unless it is doubled. */
const quoted = (text: string) => text.replaceAll(',', ',,');

/** The whole command line, program first. */
export function vmArgv(spec: VmSpec, { binary, acceleration, cpuModel }: Options): string[] {
  const { runDir } = spec;
  const chardevs = spec.channels.flatMap((name, at) => [
    '-chardev',
    `socket,id=channel-${at},path=${quoted(channelPath(runDir, at))},server=on,wait=off`,
    '-device',
    `virtserialport,chardev=channel-${at},name=${quoted(name)}`,
  ]);
  return [
    // The kernel ends it when this process dies, however that comes about.
    ...(spec.detached ? [] : ['setpriv', '--pdeathsig', 'KILL', '--']),
    ...[binary, '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...[
      '-name',
      quoted(spec.id),
      '-M',
      'microvm,pcie=on,acpi=on,rtc=on,pit=on,pic=on',
      '-accel',
      acceleration,
      '-cpu',
      cpuModel,
    ],
    ...['-smp', `${spec.cpus}`, '-m', `${spec.memoryMib}M`],
    ...['-kernel', spec.kernelPath, '-initrd', spec.initramfsPath],
    ...['-append', ['console=ttyS0', 'panic=1', ...clockArgs(), ...spec.kernelArgs].join(' ')],
    ...['-pidfile', pidPath(runDir), '-qmp', `unix:${quoted(qmpPath(runDir))},server=on,wait=off`],
    // vCPUs stand still until we have seen that all is there.
    ...['-S', '-action', 'panic=shutdown', '-device', 'pvpanic'],
    ...['-chardev', `file,id=console,path=${quoted(spec.consoleLogPath)},append=on`, '-serial', 'chardev:console'],
    ...['-device', 'virtio-serial-pci,disable-legacy=on', ...chardevs],
    ...spec.nics.flatMap(nicArgv),
  ];
}

function nicArgv({ id, mac, mtu, endpoint }: VmNic): string[] {
  const device = `virtio-net-pci,disable-legacy=on,netdev=nic-${id},id=dev-${id},mac=${mac},host_mtu=${mtu},romfile=`;
  return ['-netdev', `${netdev(endpoint)},id=nic-${id}`, '-device', device];
}

function netdev(endpoint: NicEndpoint): string {
  if (endpoint.kind === 'builtin') return userNetdev(endpoint);
  if (endpoint.kind === 'tap-name') return `tap,ifname=${quoted(endpoint.name)},script=no,downscript=no`;
  if (endpoint.kind === 'stream') return `stream,server=off,addr.type=unix,addr.path=${quoted(endpoint.path)}`;
  throw new TypeError(`endpoint ${endpoint.kind}: the driver has refused it before`);
}

/** https://www.qemu.org/docs/master/system/invocation.html, `-netdev user`. */
function userNetdev({ ipv4, ipv6, forwards, restricted }: BuiltinEndpoint): string {
  const four = ipv4 ? `,net=${ipv4.subnet},host=${ipv4.gateway},dns=${ipv4.dns},dhcpstart=${ipv4.guest}` : '';
  const six = ipv6 ? `,ipv6-net=${ipv6.subnet},ipv6-host=${ipv6.gateway},ipv6-dns=${ipv6.dns}` : '';
  const rules = forwards.map(
    ({ protocol, hostAddress, hostPort, guestAddress, guestPort }) =>
      `,hostfwd=${protocol}:${bracketed(hostAddress)}:${hostPort}-${bracketed(guestAddress)}:${guestPort}`,
  );
  const families = `,ipv4=${ipv4 ? 'on' : 'off'},ipv6=${ipv6 ? 'on' : 'off'}`;
  return `user${families}${four}${six},restrict=${restricted ? 'on' : 'off'}${rules.join('')}`;
}

const bracketed = (address: string) => (address.includes(':') ? `[${address}]` : address);
