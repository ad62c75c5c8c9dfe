/**
 * What a container runs: CRI's rules for command and args over the image's entrypoint and cmd (the same as Docker's
 * ENTRYPOINT and CMD). A command of the Pod replaces both; args alone replace the image's cmd.
 */
export interface ImageCommand {
  entrypoint: string[];
  cmd: string[];
}

export function resolveCommand(image: ImageCommand, command: string[], args: string[]): string[] {
  if (command.length > 0) return [...command, ...args];
  return [...image.entrypoint, ...(args.length > 0 ? args : image.cmd)];
}

/** Later layers win; the order of first mention stays. */
export const mergeEnv = (...layers: [string, string][][]): [string, string][] => [...new Map(layers.flat())];
