/** What the notebook's kernel offers its cells; the kernel is in the cache (setup/notebook), not in node_modules. */
declare module 'tslab' {
  export interface Display {
    html(text: string): void;
    png(picture: Uint8Array): void;
    svg(text: string): void;
    text(text: string): void;
  }
  export const display: Display;
  /** A display that is overwritten each time. */
  export function newDisplay(): Display;
}
