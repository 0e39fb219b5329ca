/** Ways to ask a net about a picture: as it is, or also about its mirror image. */
export const testTimes = ['none', 'flip'] as const;
export type TestTime = (typeof testTimes)[number];
