import { randomBytes } from 'node:crypto';

/**
 * A process's name on the broker, which no other process has or has had: of one that is started again under its old
 * name it must be clear which of the two is a member of a group, or leads.
 */
export const uniqueName = (name: string): string =>
  `${name.replaceAll(/[^A-Za-z0-9_-]/g, '-').slice(0, 80)}-${randomBytes(2).toString('hex')}`;
