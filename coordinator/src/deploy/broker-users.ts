import type { Permissions, Role } from '@crossfold/shared/broker/permissions';
import { permissionsOf, roles } from '@crossfold/shared/broker/permissions';

/** Who may connect to the broker of a deployment: the roles, and an operator for backups and repairs. */
export const brokerUsers = [...roles, 'operator'] as const;
export type BrokerUser = (typeof brokerUsers)[number];

const everything: Permissions = { publish: ['>'], subscribe: ['>'] };
const isRole = (user: BrokerUser): user is Role => user !== 'operator';

/**
 * The `authorization` block of a nats-server's configuration.
 *
 * @param keyOf the public key of a user, or a variable (`$NAME`) that the server finds it in
 */
export function renderAuthorization(keyOf: (user: BrokerUser) => string): string {
  const users = brokerUsers.map((user) => {
    const { publish, subscribe } = isRole(user) ? permissionsOf(user) : everything;
    return `    { # ${user}
      nkey: ${keyOf(user)}
      permissions: {
        publish: { allow: ${list(publish)} }
        subscribe: { allow: ${list(subscribe)} }
      }
    }`;
  });
  return `authorization: {\n  timeout: 5\n  users: [\n${users.join('\n')}\n  ]\n}\n`;
}

const list = (subjects: readonly string[]): string =>
  `[\n${[...new Set(subjects)].map((subject) => `          "${subject}"\n`).join('')}        ]`;

/** Where the public key of a user stands in the environment of a server whose configuration is the same everywhere. */
export const keyVariable = (user: BrokerUser): string => `${user.toUpperCase()}_NKEY`;
