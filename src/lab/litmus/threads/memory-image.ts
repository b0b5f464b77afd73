/** Shared memory as it was when the image was taken, to go back to. */
export class MemoryImage {
  readonly #parts: readonly { readonly now: Uint8Array; readonly saved: Uint8Array }[];

  constructor(buffers: readonly SharedArrayBuffer[]) {
    this.#parts = buffers.map((buffer) => {
      const now = new Uint8Array(buffer);
      return { now, saved: Uint8Array.from(now) };
    });
  }

  restore(): void {
    const parts = this.#parts;
    for (let i = 0; i < parts.length; i++) {
      const { now, saved } = parts[i] as (typeof parts)[number];
      now.set(saved);
    }
  }
}
