/** An experiment cannot be taken further as things stand; the message says what it waits for. Tried again every round. */
export class WaitingError extends Error {
  constructor(waitsFor: string) {
    super(waitsFor);
    this.name = 'WaitingError';
  }
}
