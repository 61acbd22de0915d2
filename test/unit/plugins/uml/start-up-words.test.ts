import { expect } from 'chai';
import { withoutStartUp } from '../../../../src/plugins/uml/start-up-words.js';

const START = `Core dump limits :
\tsoft - 0
\thard - NONE
Checking that ptrace can change system call numbers...OK
Checking syscall emulation patch for ptrace...OK
Checking environment variables for a tempdir...none found
Checking if /dev/shm is on tmpfs...OK
Checking PROT_EXEC mmap in /dev/shm...OK
Adding 46370816 bytes to physical memory to account for exec-shield gap
`;

describe('what UML says at its start', () => {
  it('is no cause of its end', () => {
    expect(withoutStartUp(START)).to.equal('');
  });

  it('leaves what is: a check that failed, and what came later', () => {
    const failed = 'Checking PROT_EXEC mmap in /dev/shm...Operation not permitted\n';
    expect(withoutStartUp(`${START}${failed}os_kill_process: no\n`)).to.equal(`${failed}os_kill_process: no\n`);
  });
});
