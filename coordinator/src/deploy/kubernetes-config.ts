import { keyVariable, renderAuthorization } from './broker-users.ts';

/** Variable with the password that servers of one cluster show one another. */
export const routePasswordVariable = 'ROUTE_PASSWORD';

/**
 * Configuration of the three nats-servers in k8s/base, the same for each: what differs, and what is secret, comes from
 * the environment.
 */
export const kubernetesBrokerConfig = (): string => `# Made by k8s/generate.mjs: do not edit.
server_name: $POD_NAME
listen: "0.0.0.0:4222"
http: "0.0.0.0:8222"
pid_file: "/run/nats/nats.pid"
lame_duck_grace_period: "5s"
lame_duck_duration: "30s"
# Of a volume of 20 GiB; of these the coordinators have stores take 14 GiB (CROSSFOLD_QUOTA_STORAGE). Raise all three together.
jetstream: { store_dir: "/data", max_file_store: 16GiB }
cluster: {
  name: crossfold
  listen: "0.0.0.0:6222"
  # Clients know the service's name; pods' addresses come and go.
  no_advertise: true
  authorization: { user: route, password: $${routePasswordVariable}, timeout: 5 }
  routes: [$ROUTE_0, $ROUTE_1, $ROUTE_2]
}
${renderAuthorization((user) => `$${keyVariable(user)}`)}`;
