#ifndef HP_POD_H
#define HP_POD_H

/* Looks for new devices on the PCI bus, where the kernel was not told of them. Does not wait. */
void pci_rescan(void);

#endif
