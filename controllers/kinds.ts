import { resources } from "../api/resources.ts";

const deletable = resources().filter(({ verbs }) =>
  (["list", "watch", "delete"] as const).every((v) => verbs.includes(v)),
);

/** What garbage collection follows. Events are not: they are many, own nothing, and their time ends anyway. */
export const collectable = deletable.filter(({ resource }) => resource !== "events");

/** What goes with a namespace. */
export const namespacedContents = deletable.filter(({ namespaced }) => namespaced);
