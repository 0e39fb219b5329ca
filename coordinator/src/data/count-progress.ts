/** How many of many things are done. */
export interface Count {
  /** As in `uploaded 2000 of 4000 pictures`. */
  readonly verb: string;
  readonly done: number;
  readonly total: number;
  readonly things: string;
  /** Whether it is worth a line where there is no bar: some ten times at most, of few things never. */
  readonly isMilestone: boolean;
}

/** Told how far something is that takes long: a line to say, or a count, with which a bar can be drawn. */
export type OnProgress = (news: string | Count) => void;

/** @param few how many things are too few for a line of their own */
export function countProgress(
  verb: string,
  total: number,
  things: string,
  onProgress: OnProgress,
  few = 1000,
): (more: number) => void {
  const every = Math.max(few, Math.ceil(total / 10));
  let done = 0;
  const tell = (isMilestone: boolean): void => onProgress({ verb, done, total, things, isMilestone });
  tell(false);
  return (more) => {
    const before = done;
    done += more;
    const passes = (step: number): boolean => Math.floor(done / step) > Math.floor(before / step);
    const isMilestone = passes(every);
    if (isMilestone || done === total || passes(total / 100)) tell(isMilestone);
  };
}

export const countText = ({ verb, done, total, things }: Count): string => `${verb} ${done} of ${total} ${things}`;

/** Hands on what is worth a line. */
export const inLines =
  (say: (line: string) => void = () => undefined): OnProgress =>
  (news) => {
    if (typeof news === 'string') say(news);
    else if (news.isMilestone) say(countText(news));
  };
