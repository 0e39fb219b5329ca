import { rename, writeFile } from 'node:fs/promises';

/**
 * Writes where services serve their metrics as a file that Prometheus discovers targets from (`file_sd_configs`), each
 * labelled with its service's name.
 *
 * @param urls `http://host:port` by the service's name, of a kind (`worker`) and a number
 */
export async function writeTargets(file: string, urls: ReadonlyMap<string, string>): Promise<void> {
  const targets = [...urls].map(([name, url]) => ({
    targets: [new URL(url).host],
    labels: { service: name.replace(/-\d+$/, ''), instance: name },
  }));
  const aside = `${file}.${process.pid}.tmp`;
  await writeFile(aside, `${JSON.stringify(targets, null, 2)}\n`);
  await rename(aside, file);
}
