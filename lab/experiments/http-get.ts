import http from "node:http";
import https from "node:https";

/** The body of a 200, over a connection of its own: a proxy balances connections. Throws when there is none in time. */
export function httpGet(url: string, timeoutMs: number, options: https.RequestOptions = {}): Promise<string> {
  const { get } = url.startsWith("https:") ? https : http;
  return new Promise((resolve, reject) => {
    const request = get(url, { ...options, agent: false, timeout: timeoutMs }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve(body);
        else reject(new Error(`answered ${response.statusCode}`));
      });
    });
    request.on("timeout", () => request.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    request.on("error", reject);
  });
}
