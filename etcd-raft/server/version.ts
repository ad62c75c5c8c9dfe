/** The etcd version whose API this is: clients (the Kubernetes apiserver) decide by it what they may use. */
export const etcdVersion = "3.6.0";
/** The cluster's, while no downgrade is under way (`downgrade.ts`). */
export const clusterVersion = "3.6.0";
