/**
 * Area under the ROC curve: the share of pairs of a positive and a negative sample in which the positive one has the
 * higher score, ties counting half (the Mann-Whitney statistic; Hanley and McNeil, Radiology 143, 1982).
 *
 * @param scores the higher, the likelier positive
 * @param labels 1 for positive samples, 0 for negative ones
 * @returns undefined where there are no positive or no negative samples
 */
export function areaUnderRoc(scores: Float32Array, labels: ArrayLike<number>): number | undefined {
  const order = Uint32Array.from(scores, (_, i) => i).sort((a, b) => (scores[a] ?? 0) - (scores[b] ?? 0));
  let negatives = 0;
  let positives = 0;
  let pairsWon = 0;
  for (let from = 0; from < order.length; ) {
    const score = scores[order[from] ?? 0];
    let [tiedPositives, tiedNegatives] = [0, 0];
    let to = from;
    do {
      if (labels[order[to] ?? 0] === 1) tiedPositives++;
      else tiedNegatives++;
      to++;
    } while (to < order.length && scores[order[to] ?? 0] === score);
    pairsWon += tiedPositives * (negatives + tiedNegatives / 2);
    positives += tiedPositives;
    negatives += tiedNegatives;
    from = to;
  }
  return positives === 0 || negatives === 0 ? undefined : pairsWon / (positives * negatives);
}
