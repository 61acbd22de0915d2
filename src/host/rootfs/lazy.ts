import type { DiskRequest, RootImage, RootImageOptions, RootImageProvider, RootSource } from '../../core/rootfs.js';
import type { HostRootImages, HostRootImagesOptions } from './provider.js';

/** HostRootImages, which is loaded when first asked: most pods run from the guest image's own root. */
export class LazyRootImages implements RootImageProvider {
  #made: Promise<HostRootImages> | undefined;

  constructor(private readonly options: HostRootImagesOptions) {}

  async rootImage(source: RootSource, options: RootImageOptions): Promise<RootImage> {
    return (await this.#images()).rootImage(source, options);
  }

  async createDisk(request: DiskRequest, options: RootImageOptions): Promise<void> {
    return (await this.#images()).createDisk(request, options);
  }

  async prune(options: Parameters<RootImageProvider['prune']>[0]) {
    return (await this.#images()).prune(options);
  }

  #images(): Promise<HostRootImages> {
    this.#made ??= import('./provider.js').then(({ HostRootImages }) => new HostRootImages(this.options));
    return this.#made;
  }
}
