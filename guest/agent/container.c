#include "container.h"

#include <string.h>
#include "sys.h"

bool container_plan(const char *id, struct exec_plan *plan, struct failure *f)
{
	(void)plan;
	return fail(f, HP_E_NOT_FOUND, 0, "container", "no container %.64s", id);
}
bool container_root(const char *id, char *root, size_t size, struct failure *f)
{
	(void)size;
	root[0] = 0;
	return strcmp(id, OWN_CONTAINER) == 0 || fail(f, HP_E_NOT_FOUND, 0, "container", "no container %.64s", id);
}
bool container_create(const struct json *doc, uint32_t node, const struct request *r, struct failure *f)
{
	(void)doc;
	(void)node;
	(void)r;
	return fail(f, HP_E_KERNEL, 0, NULL, "containers");
}
pid_t container_fork(int pid_ns)
{
	(void)pid_ns;
	return sys_fork();
}
bool container_enter(int init_pid)
{
	(void)init_pid;
	return true;
}
void container_init_ended(pid_t pid)
{
	(void)pid;
}
bool handle_newcontainer(struct call *call, struct failure *f)
{
	return container_create(&call->doc, 0, &call->request, f);
}
bool handle_killcontainer(struct call *call, struct failure *f)
{
	(void)call;
	return fail(f, HP_E_KERNEL, 0, NULL, "containers");
}
bool handle_removecontainer(struct call *call, struct failure *f)
{
	(void)call;
	return fail(f, HP_E_KERNEL, 0, NULL, "containers");
}
