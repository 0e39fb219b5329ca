/** Told how far something that takes long is. */
export type OnProgress = (message: string) => void;

/** Says, some ten times at most, how many of many things are done (`uploaded 2000 of 4000 pictures`); of fewer than `few`, nothing. */
export function countProgress(
  verb: string,
  total: number,
  things: string,
  onProgress: OnProgress,
  few = 1000,
): (more: number) => void {
  const every = Math.max(few, Math.ceil(total / 10));
  let done = 0;
  return (more) => {
    const before = done;
    done += more;
    if (Math.floor(done / every) > Math.floor(before / every)) onProgress(`${verb} ${done} of ${total} ${things}`);
  };
}
