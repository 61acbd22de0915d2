/* Made by guest/protocol/generate.mjs from protocol.json; change that, not this. */
#ifndef HP_PROTOCOL_GEN_H
#define HP_PROTOCOL_GEN_H

#include "schema.h"

#define HP_VERSION 4244u
#define HP_EXTENSION 1u

#define HP_CHANNEL_CONTROL "sh.hyper.channel.0"
#define HP_CHANNEL_STREAMS "sh.hyper.channel.1"

enum hp_command {
	HP_GETVERSION = 0,
	HP_STARTPOD = 1,
	HP_DESTROYPOD = 4,
	HP_EXECCMD = 6,
	HP_READY = 8,
	HP_ACK = 9,
	HP_ERROR = 10,
	HP_WINSIZE = 11,
	HP_PING = 12,
	HP_NEXT = 14,
	HP_WRITEFILE = 15,
	HP_READFILE = 16,
	HP_NEWCONTAINER = 17,
	HP_KILLCONTAINER = 18,
	HP_ONLINECPUMEM = 19,
	HP_SETUPINTERFACE = 20,
	HP_SETUPROUTE = 21,
	HP_REMOVECONTAINER = 22,
	HP_PROCESSASYNCEVENT = 23,
	HP_SIGNALPROCESS = 24,
	HP_DELETEINTERFACE = 25,
	HP_CREDIT = 64,
	HP_GETNETWORK = 65,
	HP_DELETEROUTE = 66,
	HP_LISTCONTAINERS = 67,
	HP_READLOG = 68,
	HP_MOUNT = 69,
	HP_UNMOUNT = 70,
	HP_RESEED = 71,
	HP_SETCLOCK = 72,
	HP_STATS = 73,
};

/* `code` of an ERROR in the extension */
#define HP_E_INVALID "INVALID"
#define HP_E_UNKNOWN_COMMAND "UNKNOWN_COMMAND"
#define HP_E_NOT_FOUND "NOT_FOUND"
#define HP_E_TIMEOUT "TIMEOUT"
#define HP_E_KERNEL "KERNEL"
#define HP_E_EXEC "EXEC"
#define HP_E_LIMIT "LIMIT"

#define HP_CONTROL_HEADER_BYTES 8u
#define HP_STREAM_HEADER_BYTES 12u
#define HP_CONTROL_MESSAGE_MAX_BYTES 16842752u
#define HP_FILE_MAX_BYTES 16777216u
#define HP_JSON_MAX_BYTES 4194304u
#define HP_STREAM_PAYLOAD_MAX_BYTES 32768u
#define HP_INITIAL_CREDIT_BYTES 262144u
#define HP_BASE_CHUNK_BYTES 512u
#define HP_NONCE_CHARACTERS 16u
#define HP_PARTIAL_MESSAGE_TIMEOUT_MS 10000u
#define HP_NIC_WAIT_DEFAULT_MS 10000u
#define HP_PROCESSES_MAX 1024u
#define HP_CONTAINERS_MAX 64u
#define HP_MOUNTS_MAX 64u
#define HP_CONTAINER_LOG_BYTES 1048576u
#define HP_ENTROPY_MIN_BYTES 16u
#define HP_ENTROPY_MAX_BYTES 512u
#define HP_DEVICE_WAIT_MS 10000u

extern const struct hp_schema hp_schema_Hello;
extern const struct hp_schema hp_schema_HelloAnswer;
extern const struct hp_schema hp_schema_AgentError;
extern const struct hp_schema hp_schema_Address;
extern const struct hp_schema hp_schema_Interface;
extern const struct hp_schema hp_schema_Route;
extern const struct hp_schema hp_schema_Routes;
extern const struct hp_schema hp_schema_StartPod;
extern const struct hp_schema hp_schema_EnvironmentVariable;
extern const struct hp_schema hp_schema_ResourceLimit;
extern const struct hp_schema hp_schema_Process;
extern const struct hp_schema hp_schema_Exec;
extern const struct hp_schema hp_schema_ExecAnswer;
extern const struct hp_schema hp_schema_WindowSize;
extern const struct hp_schema hp_schema_SignalProcess;
extern const struct hp_schema hp_schema_ProcessEvent;
extern const struct hp_schema hp_schema_File;
extern const struct hp_schema hp_schema_FileSystem;
extern const struct hp_schema hp_schema_Mount;
extern const struct hp_schema hp_schema_Unmount;
extern const struct hp_schema hp_schema_FsMap;
extern const struct hp_schema hp_schema_Volume;
extern const struct hp_schema hp_schema_Container;
extern const struct hp_schema hp_schema_KillContainer;
extern const struct hp_schema hp_schema_RemoveContainer;
extern const struct hp_schema hp_schema_ContainerEntry;
extern const struct hp_schema hp_schema_Containers;
extern const struct hp_schema hp_schema_ReadLog;
extern const struct hp_schema hp_schema_Clock;
extern const struct hp_schema hp_schema_LinkAddress;
extern const struct hp_schema hp_schema_Link;
extern const struct hp_schema hp_schema_RouteEntry;
extern const struct hp_schema hp_schema_Network;

enum hp_fields_Hello {
	HP_Hello_hyperplug,
	HP_Hello_nonce,
	HP_Hello_window,
	HP_Hello_COUNT
};

enum hp_fields_HelloAnswer {
	HP_HelloAnswer_hyperplug,
	HP_HelloAnswer_agent,
	HP_HelloAnswer_nonce,
	HP_HelloAnswer_COUNT
};

enum hp_fields_AgentError {
	HP_AgentError_code,
	HP_AgentError_reason,
	HP_AgentError_errno,
	HP_AgentError_field,
	HP_AgentError_COUNT
};

enum hp_fields_Address {
	HP_Address_ipAddress,
	HP_Address_prefix,
	HP_Address_netMask,
	HP_Address_COUNT
};

enum hp_fields_Interface {
	HP_Interface_mac,
	HP_Interface_device,
	HP_Interface_newDeviceName,
	HP_Interface_mtu,
	HP_Interface_ipAddresses,
	HP_Interface_removeAddresses,
	HP_Interface_timeoutMs,
	HP_Interface_COUNT
};

enum hp_fields_Route {
	HP_Route_dest,
	HP_Route_gateway,
	HP_Route_mac,
	HP_Route_device,
	HP_Route_metric,
	HP_Route_COUNT
};

enum hp_fields_Routes {
	HP_Routes_routes,
	HP_Routes_COUNT
};

enum hp_fields_StartPod {
	HP_StartPod_hostname,
	HP_StartPod_dns,
	HP_StartPod_dnsOptions,
	HP_StartPod_dnsSearch,
	HP_StartPod_shareDir,
	HP_StartPod_interfaces,
	HP_StartPod_routes,
	HP_StartPod_containers,
	HP_StartPod_portmappingWhiteLists,
	HP_StartPod_machineId,
	HP_StartPod_COUNT
};

enum hp_fields_EnvironmentVariable {
	HP_EnvironmentVariable_env,
	HP_EnvironmentVariable_value,
	HP_EnvironmentVariable_COUNT
};

enum hp_fields_ResourceLimit {
	HP_ResourceLimit_type,
	HP_ResourceLimit_hard,
	HP_ResourceLimit_soft,
	HP_ResourceLimit_COUNT
};

enum hp_fields_Process {
	HP_Process_id,
	HP_Process_terminal,
	HP_Process_stdio,
	HP_Process_stderr,
	HP_Process_args,
	HP_Process_envs,
	HP_Process_workdir,
	HP_Process_user,
	HP_Process_group,
	HP_Process_additionalGroups,
	HP_Process_rlimits,
	HP_Process_row,
	HP_Process_column,
	HP_Process_main,
	HP_Process_log,
	HP_Process_COUNT
};

enum hp_fields_Exec {
	HP_Exec_container,
	HP_Exec_process,
	HP_Exec_COUNT
};

enum hp_fields_ExecAnswer {
	HP_ExecAnswer_pid,
	HP_ExecAnswer_COUNT
};

enum hp_fields_WindowSize {
	HP_WindowSize_container,
	HP_WindowSize_process,
	HP_WindowSize_row,
	HP_WindowSize_column,
	HP_WindowSize_COUNT
};

enum hp_fields_SignalProcess {
	HP_SignalProcess_container,
	HP_SignalProcess_process,
	HP_SignalProcess_signal,
	HP_SignalProcess_COUNT
};

enum hp_fields_ProcessEvent {
	HP_ProcessEvent_container,
	HP_ProcessEvent_process,
	HP_ProcessEvent_event,
	HP_ProcessEvent_status,
	HP_ProcessEvent_signal,
	HP_ProcessEvent_main,
	HP_ProcessEvent_COUNT
};

enum hp_fields_File {
	HP_File_container,
	HP_File_file,
	HP_File_mode,
	HP_File_user,
	HP_File_group,
	HP_File_COUNT
};

enum hp_fields_FileSystem {
	HP_FileSystem_kind,
	HP_FileSystem_disk,
	HP_FileSystem_fstype,
	HP_FileSystem_tag,
	HP_FileSystem_path,
	HP_FileSystem_sizeMib,
	HP_FileSystem_COUNT
};

enum hp_fields_Mount {
	HP_Mount_source,
	HP_Mount_path,
	HP_Mount_readOnly,
	HP_Mount_COUNT
};

enum hp_fields_Unmount {
	HP_Unmount_path,
	HP_Unmount_COUNT
};

enum hp_fields_FsMap {
	HP_FsMap_source,
	HP_FsMap_path,
	HP_FsMap_readOnly,
	HP_FsMap_dockerVolume,
	HP_FsMap_COUNT
};

enum hp_fields_Volume {
	HP_Volume_device,
	HP_Volume_addr,
	HP_Volume_mount,
	HP_Volume_fstype,
	HP_Volume_readOnly,
	HP_Volume_dockerVolume,
	HP_Volume_COUNT
};

enum hp_fields_Container {
	HP_Container_id,
	HP_Container_rootfs,
	HP_Container_fstype,
	HP_Container_image,
	HP_Container_addr,
	HP_Container_volumes,
	HP_Container_fsmap,
	HP_Container_sysctl,
	HP_Container_process,
	HP_Container_restartPolicy,
	HP_Container_initialize,
	HP_Container_readOnly,
	HP_Container_root,
	HP_Container_layer,
	HP_Container_mounts,
	HP_Container_hostname,
	HP_Container_podEtc,
	HP_Container_COUNT
};

enum hp_fields_KillContainer {
	HP_KillContainer_container,
	HP_KillContainer_signal,
	HP_KillContainer_COUNT
};

enum hp_fields_RemoveContainer {
	HP_RemoveContainer_container,
	HP_RemoveContainer_COUNT
};

enum hp_fields_ContainerEntry {
	HP_ContainerEntry_id,
	HP_ContainerEntry_state,
	HP_ContainerEntry_pid,
	HP_ContainerEntry_status,
	HP_ContainerEntry_signal,
	HP_ContainerEntry_COUNT
};

enum hp_fields_Containers {
	HP_Containers_containers,
	HP_Containers_COUNT
};

enum hp_fields_ReadLog {
	HP_ReadLog_container,
	HP_ReadLog_offset,
	HP_ReadLog_max,
	HP_ReadLog_COUNT
};

enum hp_fields_Clock {
	HP_Clock_epochMs,
	HP_Clock_COUNT
};

enum hp_fields_LinkAddress {
	HP_LinkAddress_address,
	HP_LinkAddress_prefix,
	HP_LinkAddress_family,
	HP_LinkAddress_COUNT
};

enum hp_fields_Link {
	HP_Link_name,
	HP_Link_index,
	HP_Link_mac,
	HP_Link_mtu,
	HP_Link_up,
	HP_Link_addresses,
	HP_Link_COUNT
};

enum hp_fields_RouteEntry {
	HP_RouteEntry_dest,
	HP_RouteEntry_gateway,
	HP_RouteEntry_device,
	HP_RouteEntry_metric,
	HP_RouteEntry_COUNT
};

enum hp_fields_Network {
	HP_Network_links,
	HP_Network_routes,
	HP_Network_COUNT
};

#ifdef HP_DEFINE_SCHEMAS
static const struct hp_field hp_field_table_Hello[] = {
	{ "hyperplug", HP_U32, 0, 0, 0 },
	{ "nonce", HP_STRING, 0, 0, 0 },
	{ "window", HP_U32, 0, 1, 0 },
};
const struct hp_schema hp_schema_Hello = { "Hello", hp_field_table_Hello, HP_Hello_COUNT };
static const struct hp_field hp_field_table_HelloAnswer[] = {
	{ "hyperplug", HP_U32, 0, 0, 0 },
	{ "agent", HP_STRING, 0, 0, 0 },
	{ "nonce", HP_STRING, 0, 0, 0 },
};
const struct hp_schema hp_schema_HelloAnswer = { "HelloAnswer", hp_field_table_HelloAnswer, HP_HelloAnswer_COUNT };
static const struct hp_field hp_field_table_AgentError[] = {
	{ "code", HP_STRING, 0, 0, 0 },
	{ "reason", HP_STRING, 0, 0, 0 },
	{ "errno", HP_U32, 0, 1, 0 },
	{ "field", HP_STRING, 0, 1, 0 },
};
const struct hp_schema hp_schema_AgentError = { "AgentError", hp_field_table_AgentError, HP_AgentError_COUNT };
static const struct hp_field hp_field_table_Address[] = {
	{ "ipAddress", HP_STRING, 0, 0, 0 },
	{ "prefix", HP_U32, 0, 1, 0 },
	{ "netMask", HP_STRING, 0, 1, 0 },
};
const struct hp_schema hp_schema_Address = { "Address", hp_field_table_Address, HP_Address_COUNT };
static const struct hp_field hp_field_table_Interface[] = {
	{ "mac", HP_STRING, 0, 1, 0 },
	{ "device", HP_STRING, 0, 1, 0 },
	{ "newDeviceName", HP_STRING, 0, 1, 0 },
	{ "mtu", HP_U32, 0, 1, 0 },
	{ "ipAddresses", HP_OBJECT, 1, 1, &hp_schema_Address },
	{ "removeAddresses", HP_OBJECT, 1, 1, &hp_schema_Address },
	{ "timeoutMs", HP_U32, 0, 1, 0 },
};
const struct hp_schema hp_schema_Interface = { "Interface", hp_field_table_Interface, HP_Interface_COUNT };
static const struct hp_field hp_field_table_Route[] = {
	{ "dest", HP_STRING, 0, 0, 0 },
	{ "gateway", HP_STRING, 0, 1, 0 },
	{ "mac", HP_STRING, 0, 1, 0 },
	{ "device", HP_STRING, 0, 1, 0 },
	{ "metric", HP_U32, 0, 1, 0 },
};
const struct hp_schema hp_schema_Route = { "Route", hp_field_table_Route, HP_Route_COUNT };
static const struct hp_field hp_field_table_Routes[] = {
	{ "routes", HP_OBJECT, 1, 0, &hp_schema_Route },
};
const struct hp_schema hp_schema_Routes = { "Routes", hp_field_table_Routes, HP_Routes_COUNT };
static const struct hp_field hp_field_table_StartPod[] = {
	{ "hostname", HP_STRING, 0, 1, 0 },
	{ "dns", HP_STRING, 1, 1, 0 },
	{ "dnsOptions", HP_STRING, 1, 1, 0 },
	{ "dnsSearch", HP_STRING, 1, 1, 0 },
	{ "shareDir", HP_STRING, 0, 1, 0 },
	{ "interfaces", HP_OBJECT, 1, 1, &hp_schema_Interface },
	{ "routes", HP_OBJECT, 1, 1, &hp_schema_Route },
	{ "containers", HP_OBJECT, 1, 1, &hp_schema_Container },
	{ "portmappingWhiteLists", HP_ANY, 0, 1, 0 },
	{ "machineId", HP_STRING, 0, 1, 0 },
};
const struct hp_schema hp_schema_StartPod = { "StartPod", hp_field_table_StartPod, HP_StartPod_COUNT };
static const struct hp_field hp_field_table_EnvironmentVariable[] = {
	{ "env", HP_STRING, 0, 0, 0 },
	{ "value", HP_STRING, 0, 0, 0 },
};
const struct hp_schema hp_schema_EnvironmentVariable = { "EnvironmentVariable", hp_field_table_EnvironmentVariable, HP_EnvironmentVariable_COUNT };
static const struct hp_field hp_field_table_ResourceLimit[] = {
	{ "type", HP_STRING, 0, 0, 0 },
	{ "hard", HP_U64, 0, 0, 0 },
	{ "soft", HP_U64, 0, 0, 0 },
};
const struct hp_schema hp_schema_ResourceLimit = { "ResourceLimit", hp_field_table_ResourceLimit, HP_ResourceLimit_COUNT };
static const struct hp_field hp_field_table_Process[] = {
	{ "id", HP_STRING, 0, 0, 0 },
	{ "terminal", HP_BOOL, 0, 1, 0 },
	{ "stdio", HP_U64, 0, 0, 0 },
	{ "stderr", HP_U64, 0, 1, 0 },
	{ "args", HP_STRING, 1, 0, 0 },
	{ "envs", HP_OBJECT, 1, 1, &hp_schema_EnvironmentVariable },
	{ "workdir", HP_STRING, 0, 1, 0 },
	{ "user", HP_STRING, 0, 1, 0 },
	{ "group", HP_STRING, 0, 1, 0 },
	{ "additionalGroups", HP_STRING, 1, 1, 0 },
	{ "rlimits", HP_OBJECT, 1, 1, &hp_schema_ResourceLimit },
	{ "row", HP_U32, 0, 1, 0 },
	{ "column", HP_U32, 0, 1, 0 },
	{ "main", HP_BOOL, 0, 1, 0 },
	{ "log", HP_BOOL, 0, 1, 0 },
};
const struct hp_schema hp_schema_Process = { "Process", hp_field_table_Process, HP_Process_COUNT };
static const struct hp_field hp_field_table_Exec[] = {
	{ "container", HP_STRING, 0, 0, 0 },
	{ "process", HP_OBJECT, 0, 0, &hp_schema_Process },
};
const struct hp_schema hp_schema_Exec = { "Exec", hp_field_table_Exec, HP_Exec_COUNT };
static const struct hp_field hp_field_table_ExecAnswer[] = {
	{ "pid", HP_U32, 0, 0, 0 },
};
const struct hp_schema hp_schema_ExecAnswer = { "ExecAnswer", hp_field_table_ExecAnswer, HP_ExecAnswer_COUNT };
static const struct hp_field hp_field_table_WindowSize[] = {
	{ "container", HP_STRING, 0, 0, 0 },
	{ "process", HP_STRING, 0, 0, 0 },
	{ "row", HP_U32, 0, 0, 0 },
	{ "column", HP_U32, 0, 0, 0 },
};
const struct hp_schema hp_schema_WindowSize = { "WindowSize", hp_field_table_WindowSize, HP_WindowSize_COUNT };
static const struct hp_field hp_field_table_SignalProcess[] = {
	{ "container", HP_STRING, 0, 0, 0 },
	{ "process", HP_STRING, 0, 0, 0 },
	{ "signal", HP_U32, 0, 0, 0 },
};
const struct hp_schema hp_schema_SignalProcess = { "SignalProcess", hp_field_table_SignalProcess, HP_SignalProcess_COUNT };
static const struct hp_field hp_field_table_ProcessEvent[] = {
	{ "container", HP_STRING, 0, 0, 0 },
	{ "process", HP_STRING, 0, 0, 0 },
	{ "event", HP_STRING, 0, 0, 0 },
	{ "status", HP_U32, 0, 0, 0 },
	{ "signal", HP_U32, 0, 1, 0 },
	{ "main", HP_BOOL, 0, 1, 0 },
};
const struct hp_schema hp_schema_ProcessEvent = { "ProcessEvent", hp_field_table_ProcessEvent, HP_ProcessEvent_COUNT };
static const struct hp_field hp_field_table_File[] = {
	{ "container", HP_STRING, 0, 0, 0 },
	{ "file", HP_STRING, 0, 0, 0 },
	{ "mode", HP_U32, 0, 1, 0 },
	{ "user", HP_STRING, 0, 1, 0 },
	{ "group", HP_STRING, 0, 1, 0 },
};
const struct hp_schema hp_schema_File = { "File", hp_field_table_File, HP_File_COUNT };
static const struct hp_field hp_field_table_FileSystem[] = {
	{ "kind", HP_STRING, 0, 0, 0 },
	{ "disk", HP_STRING, 0, 1, 0 },
	{ "fstype", HP_STRING, 0, 1, 0 },
	{ "tag", HP_STRING, 0, 1, 0 },
	{ "path", HP_STRING, 0, 1, 0 },
	{ "sizeMib", HP_U32, 0, 1, 0 },
};
const struct hp_schema hp_schema_FileSystem = { "FileSystem", hp_field_table_FileSystem, HP_FileSystem_COUNT };
static const struct hp_field hp_field_table_Mount[] = {
	{ "source", HP_OBJECT, 0, 0, &hp_schema_FileSystem },
	{ "path", HP_STRING, 0, 0, 0 },
	{ "readOnly", HP_BOOL, 0, 1, 0 },
};
const struct hp_schema hp_schema_Mount = { "Mount", hp_field_table_Mount, HP_Mount_COUNT };
static const struct hp_field hp_field_table_Unmount[] = {
	{ "path", HP_STRING, 0, 0, 0 },
};
const struct hp_schema hp_schema_Unmount = { "Unmount", hp_field_table_Unmount, HP_Unmount_COUNT };
static const struct hp_field hp_field_table_FsMap[] = {
	{ "source", HP_STRING, 0, 0, 0 },
	{ "path", HP_STRING, 0, 0, 0 },
	{ "readOnly", HP_BOOL, 0, 1, 0 },
	{ "dockerVolume", HP_BOOL, 0, 1, 0 },
};
const struct hp_schema hp_schema_FsMap = { "FsMap", hp_field_table_FsMap, HP_FsMap_COUNT };
static const struct hp_field hp_field_table_Volume[] = {
	{ "device", HP_STRING, 0, 1, 0 },
	{ "addr", HP_STRING, 0, 1, 0 },
	{ "mount", HP_STRING, 0, 0, 0 },
	{ "fstype", HP_STRING, 0, 1, 0 },
	{ "readOnly", HP_BOOL, 0, 1, 0 },
	{ "dockerVolume", HP_BOOL, 0, 1, 0 },
};
const struct hp_schema hp_schema_Volume = { "Volume", hp_field_table_Volume, HP_Volume_COUNT };
static const struct hp_field hp_field_table_Container[] = {
	{ "id", HP_STRING, 0, 0, 0 },
	{ "rootfs", HP_STRING, 0, 1, 0 },
	{ "fstype", HP_STRING, 0, 1, 0 },
	{ "image", HP_STRING, 0, 1, 0 },
	{ "addr", HP_STRING, 0, 1, 0 },
	{ "volumes", HP_OBJECT, 1, 1, &hp_schema_Volume },
	{ "fsmap", HP_OBJECT, 1, 1, &hp_schema_FsMap },
	{ "sysctl", HP_ANY, 0, 1, 0 },
	{ "process", HP_OBJECT, 0, 1, &hp_schema_Process },
	{ "restartPolicy", HP_STRING, 0, 1, 0 },
	{ "initialize", HP_BOOL, 0, 1, 0 },
	{ "readOnly", HP_BOOL, 0, 1, 0 },
	{ "root", HP_OBJECT, 0, 1, &hp_schema_FileSystem },
	{ "layer", HP_OBJECT, 0, 1, &hp_schema_FileSystem },
	{ "mounts", HP_OBJECT, 1, 1, &hp_schema_Mount },
	{ "hostname", HP_STRING, 0, 1, 0 },
	{ "podEtc", HP_BOOL, 0, 1, 0 },
};
const struct hp_schema hp_schema_Container = { "Container", hp_field_table_Container, HP_Container_COUNT };
static const struct hp_field hp_field_table_KillContainer[] = {
	{ "container", HP_STRING, 0, 0, 0 },
	{ "signal", HP_U32, 0, 0, 0 },
};
const struct hp_schema hp_schema_KillContainer = { "KillContainer", hp_field_table_KillContainer, HP_KillContainer_COUNT };
static const struct hp_field hp_field_table_RemoveContainer[] = {
	{ "container", HP_STRING, 0, 0, 0 },
};
const struct hp_schema hp_schema_RemoveContainer = { "RemoveContainer", hp_field_table_RemoveContainer, HP_RemoveContainer_COUNT };
static const struct hp_field hp_field_table_ContainerEntry[] = {
	{ "id", HP_STRING, 0, 0, 0 },
	{ "state", HP_STRING, 0, 0, 0 },
	{ "pid", HP_U32, 0, 0, 0 },
	{ "status", HP_U32, 0, 1, 0 },
	{ "signal", HP_U32, 0, 1, 0 },
};
const struct hp_schema hp_schema_ContainerEntry = { "ContainerEntry", hp_field_table_ContainerEntry, HP_ContainerEntry_COUNT };
static const struct hp_field hp_field_table_Containers[] = {
	{ "containers", HP_OBJECT, 1, 0, &hp_schema_ContainerEntry },
};
const struct hp_schema hp_schema_Containers = { "Containers", hp_field_table_Containers, HP_Containers_COUNT };
static const struct hp_field hp_field_table_ReadLog[] = {
	{ "container", HP_STRING, 0, 0, 0 },
	{ "offset", HP_U64, 0, 0, 0 },
	{ "max", HP_U32, 0, 1, 0 },
};
const struct hp_schema hp_schema_ReadLog = { "ReadLog", hp_field_table_ReadLog, HP_ReadLog_COUNT };
static const struct hp_field hp_field_table_Clock[] = {
	{ "epochMs", HP_U64, 0, 0, 0 },
};
const struct hp_schema hp_schema_Clock = { "Clock", hp_field_table_Clock, HP_Clock_COUNT };
static const struct hp_field hp_field_table_LinkAddress[] = {
	{ "address", HP_STRING, 0, 0, 0 },
	{ "prefix", HP_U32, 0, 0, 0 },
	{ "family", HP_U32, 0, 0, 0 },
};
const struct hp_schema hp_schema_LinkAddress = { "LinkAddress", hp_field_table_LinkAddress, HP_LinkAddress_COUNT };
static const struct hp_field hp_field_table_Link[] = {
	{ "name", HP_STRING, 0, 0, 0 },
	{ "index", HP_U32, 0, 0, 0 },
	{ "mac", HP_STRING, 0, 0, 0 },
	{ "mtu", HP_U32, 0, 0, 0 },
	{ "up", HP_BOOL, 0, 0, 0 },
	{ "addresses", HP_OBJECT, 1, 0, &hp_schema_LinkAddress },
};
const struct hp_schema hp_schema_Link = { "Link", hp_field_table_Link, HP_Link_COUNT };
static const struct hp_field hp_field_table_RouteEntry[] = {
	{ "dest", HP_STRING, 0, 0, 0 },
	{ "gateway", HP_STRING, 0, 1, 0 },
	{ "device", HP_STRING, 0, 1, 0 },
	{ "metric", HP_U32, 0, 0, 0 },
};
const struct hp_schema hp_schema_RouteEntry = { "RouteEntry", hp_field_table_RouteEntry, HP_RouteEntry_COUNT };
static const struct hp_field hp_field_table_Network[] = {
	{ "links", HP_OBJECT, 1, 0, &hp_schema_Link },
	{ "routes", HP_OBJECT, 1, 0, &hp_schema_RouteEntry },
};
const struct hp_schema hp_schema_Network = { "Network", hp_field_table_Network, HP_Network_COUNT };
#endif

#endif
