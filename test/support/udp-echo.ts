import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SOURCE = `
#include <stdlib.h>
#include <arpa/inet.h>
#include <sys/socket.h>
int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[argc - 1])) }, from;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	static char data[65536];
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return 1;
	for (;;) {
		socklen_t n = sizeof(from);
		ssize_t got = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &n);
		if (got >= 0)
			sendto(fd, data, got, 0, (struct sockaddr *)&from, n);
	}
}
`;

/** A small static program for guests: `udp-echo PORT` sends each datagram back to where it came from. */
export function buildUdpEcho(folder: string): string {
  const source = join(folder, 'udp-echo.c');
  const program = join(folder, 'udp-echo');
  writeFileSync(source, SOURCE);
  const lib = '/usr/lib/x86_64-linux-musl';
  const flags = ['-Os', '-s', '-static', '-no-pie', '-fno-pie', '-fno-stack-protector', '-nostdinc', '-nostdlib'];
  const starts = [`${lib}/crt1.o`, `${lib}/crti.o`];
  const libraries = [`-L${lib}`, '-Wl,--start-group', '-lc', '-lgcc', '-Wl,--end-group', `${lib}/crtn.o`];
  const include = ['-isystem', '/usr/include/x86_64-linux-musl'];
  execFileSync('gcc', [...flags, ...include, '-o', program, ...starts, source, ...libraries]);
  return program;
}

/**
 * A program of Node: sends a datagram of SIZE bytes to PORT of HOST until it comes back, and says so; `silence` after
 * SECONDS. Arguments: HOST PORT SIZE SECONDS.
 */
export const UDP_ASK = `
const [host, ...numbers] = process.argv.slice(1);
const [port, size, seconds] = numbers.map(Number);
const socket = require('dgram').createSocket('udp4');
const sent = Buffer.alloc(size, 'datagram');
const send = () => socket.send(sent);
const end = (text) => { console.log(text); process.exit(); };
socket.on('error', () => {});
socket.on('message', (data) => end(data.equals(sent) ? 'came back' : 'changed'));
socket.connect(port, host, () => { send(); setInterval(send, 300); });
setTimeout(end, seconds * 1000, 'silence');
`;
