/**
 * Every code a HyperplugError can carry, with its meaning. A code is never renamed and never reused.
 * docs/errors.md holds the same table; a test compares the two.
 */
export const ERROR_CODES = {
  // calls in general
  ABORTED: 'the caller aborted the call; what it had made was undone',
  TIMEOUT: 'the deadline of the call passed; what it had made was undone',
  NOT_SUPPORTED: 'the plugin does not declare the capability that the call needs',
  // configuration and plugins
  CONFIG_NOT_FOUND: 'a configuration file that was named does not exist or cannot be read',
  CONFIG_SYNTAX: 'a configuration file is neither valid YAML nor valid JSON',
  CONFIG_INVALID: 'a configuration value is unknown or does not fit its schema',
  PLUGIN_INVALID: 'a plugin value lacks a field or has one of the wrong type',
  PLUGIN_API_VERSION: 'a plugin was written for another version of the plugin interface',
  PLUGIN_KIND: 'a plugin is of another kind than the place it is configured for',
  PLUGIN_NAME_TAKEN: 'two plugins of one kind have the same name',
  PLUGIN_NOT_FOUND: 'no plugin of the configured name is known',
  PLUGIN_LOAD_FAILED: 'a plugin could not be imported, or its import threw',
  PLUGIN_CAPABILITY_MISSING: 'the configuration needs what the selected plugin does not declare',
  PLUGIN_OPTIONS_INVALID: "a plugin's options do not fit the plugin's schema",
  PLUGIN_START_FAILED: 'a plugin failed to start',
  PLUGIN_FOLDER_TAKEN: 'a plugin is to be made in a folder that is not empty; nothing in it was changed',
  PLUGIN_STOP_FAILED: 'a plugin failed to stop; the others were stopped all the same',
  // address pool
  IPAM_SUBNET_INVALID: 'a subnet is malformed, too small or too large to allocate from',
  IPAM_SUBNET_CONFLICT: 'a network is registered already with another range',
  IPAM_NETWORK_NOT_FOUND: 'no such network is registered with the address pool',
  IPAM_ADDRESS_INVALID: 'an address is malformed or of the other family',
  IPAM_ADDRESS_OUT_OF_RANGE: 'an address lies outside the network or the range it is restricted to',
  IPAM_ADDRESS_RESERVED: 'an address is the network, broadcast or gateway address',
  IPAM_ADDRESS_TAKEN: 'an address is allocated already',
  IPAM_EXHAUSTED: 'no free address is left in the network',
  // virtual machines
  VM_SPEC_INVALID: 'a VM specification has a value that the hypervisor cannot run',
  VM_ALREADY_EXISTS: 'a VM of this id runs already; it was left untouched',
  VM_HYPERVISOR_FAILED: 'the hypervisor failed or exited early; the end of its stderr is in the details',
  VM_NOT_RUNNING: 'the VM is not running (it is paused, stopping or gone)',
  VM_EXITED: 'the VM exited while the call waited',
  VM_NIC_EXISTS: 'a NIC of this id or MAC is attached already',
  VM_NIC_NOT_FOUND: 'no NIC of this id is attached',
  VM_NO_SLOT: 'every NIC slot of the VM is taken',
  VM_ADOPT_FAILED: 'the recorded VM is gone, or the process found is not it',
  TEMPLATE_INVALID: 'a template has a name or a value that it cannot have',
  TEMPLATE_NOT_FOUND: 'no template of this name exists',
  TEMPLATE_EXISTS: 'a template of this name exists already; it was left untouched',
  TEMPLATE_STALE: 'a template was saved by another hypervisor, kernel, agent or machine, or its files are not whole',
  QMP_ERROR: 'QEMU answered a QMP command with an error; its class and desc are in the details',
  QMP_CLOSED: 'the QMP connection closed while a command waited',
  QMP_PROTOCOL: 'what came on the QMP socket is not QMP',
  MCONSOLE_ERROR: 'User Mode Linux refused a command of its management console; its own words are in the details',
  MCONSOLE_PROTOCOL: 'what came on the management console of User Mode Linux is not an answer',
  // networks and firewall
  NET_SPEC_INVALID: 'a network, address or port specification is malformed',
  NET_INIT_FAILED: 'a network could not be initialised',
  NET_NOT_FOUND: 'no network of this name is configured',
  NET_KERNEL_REFUSED: "the host's kernel refused a network request; errno and its own words are in the details",
  NET_IN_USE: 'pods have NICs in a network that is to be removed',
  NET_FULL: 'a bridge has no free port for another NIC',
  NET_PORT_IN_USE: 'a host port to publish is in use by another program or pod',
  FIREWALL_FAILED: 'the firewall refused a rule; its own words are in the details',
  // guest agent
  AGENT_PROTOCOL: 'the agent sent what its protocol does not allow',
  AGENT_VERSION: 'the agent speaks another version of the protocol',
  AGENT_REFUSED: 'the agent answered a command with an error; its reason is in the details',
  AGENT_CLOSED: 'the channel to the agent closed while a call waited',
  AGENT_EXEC_FAILED: 'the command could not be started in the guest (not found, not executable, no such directory)',
  // pods
  POD_SPEC_INVALID: 'a pod specification has an unknown or malformed field',
  POD_NOT_FOUND: 'no pod of this id or name exists',
  POD_ALREADY_EXISTS: 'a pod of this id exists already',
  POD_NOT_RUNNING: 'the pod is not running',
  POD_CLEANUP_FAILED:
    'not all that was made for a pod could be undone; its record is kept, and removing it again goes on',
  POD_COMMAND_FAILED: 'a command in a pod ended with another exit code than 0 or by a signal, or wrote too much',
  POD_COPY_FAILED: 'files could not be copied into or out of a pod',
  POD_BUSY: 'another process holds the pod',
  // state
  STATE_KEY_INVALID: 'a state key is empty, too long or holds characters it may not',
  STATE_CONFLICT: 'a record changed between reading and writing it',
  STATE_CORRUPT: 'a record cannot be read; it is kept and nothing it may own is touched',
  STATE_VERSION: 'a record or store was written by a newer version; it is kept',
  STATE_UNAVAILABLE: 'the state store cannot be opened or written (permission, disk full, closed)',
  // guest image and host
  IMAGE_BUILD_FAILED: 'the guest image could not be built',
  IMAGE_NOT_FOUND: 'a configured kernel or initramfs does not exist or cannot be read',
  ROOTFS_NOT_FOUND: 'what a root file system is to be made of does not exist or cannot be read',
  ROOTFS_INVALID:
    'what a root file system is to be made of is malformed, hostile, too large, or not what its digest says',
  HOST_TOOL_MISSING: 'a program that is needed is not installed and could not be provided',
  HOST_COMMAND_FAILED: 'a host command failed; argv, exit code and the end of stderr are in the details',
  HOST_IO: 'a file or directory of ours could not be read or written (disk full, for one)',
  HOST_PERMISSION: 'the operating system refused an access that is needed',
  // daemon
  DAEMON_UNREACHABLE: 'no daemon answers at the socket',
  DAEMON_LOST: 'the connection to the daemon ended while a call waited; kept pods run on',
  DAEMON_RUNNING: 'another daemon has this state directory or socket',
  DAEMON_STOPPING: 'the daemon is ending and takes no more requests',
  DAEMON_BUSY: 'the daemon has as many streams or connections as it takes',
  DAEMON_FAILED: 'the daemon met a defect of its own; its log has more under the request id in the details',
  API_REQUEST_INVALID: 'a request to the daemon does not fit its API: path, header, query or body',
  API_NOT_FOUND: 'the API of the daemon has no such path or method',
  API_TOO_LARGE: 'a request to the daemon is larger than it takes',
  // command line
  CLI_USAGE: 'the command line is wrong',
  CLI_OUTPUT_FAILED: 'standard output or standard error could not be written (disk full, and the like)',
} as const satisfies Record<string, string>;

export type ErrorCode = keyof typeof ERROR_CODES;
