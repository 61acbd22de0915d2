import { kernelError } from '../../src/host/netlink/errno.js';
import { NftSocket } from '../../src/plugins/iptables/nft/socket.js';

const EPERM = 1;

/** While `when` says so, the kernel refuses changes by netlink, so that iptables has the last word. @returns the way back. */
export function refuseNftCommits(when: () => boolean): () => void {
  const { commit } = NftSocket.prototype;
  NftSocket.prototype.commit = async function (...args) {
    if (when()) throw kernelError('nf_tables: change of rules', EPERM, undefined);
    return commit.apply(this, args);
  };
  return () => {
    NftSocket.prototype.commit = commit;
  };
}
