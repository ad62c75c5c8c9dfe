import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { FlagError } from "../../base/flags.ts";
import { StartError } from "../../base/process.ts";
import { addressOf, initialCluster } from "./cluster.ts";
import { parseConfig } from "./config.ts";

const three = "--initial-cluster=a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380";
const own = "--initial-advertise-peer-urls=http://10.0.0.1:2380";

describe("bad flags are one line that names the flag", () => {
  const rows: [string, string[], RegExp][] = [
    ["an unknown flag", ["--quota=1"], /--quota/],
    [
      "a name that is not in the cluster",
      ["--name=x", three, own],
      /couldn't find local name "x" in the initial cluster configuration/,
    ],
    [
      "peer URLs that differ from the cluster's",
      ["--name=b", three, own],
      /--initial-cluster has b=http:\/\/10\.0\.0\.2:2380 but --initial-advertise-peer-urls is http:\/\/10\.0\.0\.1:2380/,
    ],
    [
      "one URL for two members",
      ["--name=a", "--initial-cluster=a=http://10.0.0.1:2380,b=http://10.0.0.1:2380", own],
      /duplicate urls/,
    ],
    [
      "a cluster without names",
      ["--initial-cluster=http://10.0.0.1:2380"],
      /--initial-cluster: "http:\/\/10\.0\.0\.1:2380" is not name=url/,
    ],
    ["no URL", ["--listen-client-urls=127.0.0.1:2379"], /--listen-client-urls: "127\.0\.0\.1:2379" is not a URL/],
    [
      "an election timeout near the heartbeat",
      ["--heartbeat-interval=100", "--election-timeout=400"],
      /--election-timeout\[400ms\] should be at least as 5 times as --heartbeat-interval\[100ms\]/,
    ],
    ["an endless election timeout", ["--election-timeout=50001"], /--election-timeout\[50001ms\] is too long/],
    [
      "https without a certificate",
      ["--listen-client-urls=https://127.0.0.1:2379"],
      /cannot listen on TLS for https:\/\/127\.0\.0\.1:2379: --key-file and --cert-file are not presented/,
    ],
    ["a certificate without its key", ["--cert-file=a.crt"], /--cert-file and --key-file must both be present/],
    [
      "two rules for the peers' certificates",
      ["--peer-cert-allowed-cn=a", "--peer-cert-allowed-hostname=b"],
      /--peer-cert-allowed-cn and --peer-cert-allowed-hostname are mutually exclusive \(cn=a, hostname=b\)/,
    ],
    [
      "an unknown TLS version",
      ["--tls-min-version=TLS1.1"],
      /unexpected TLS version "TLS1\.1", must be one of: TLS1\.2/,
    ],
    [
      "TLS versions the wrong way round",
      ["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
      /--tls-min-version \(TLS1\.3\) is greater than --tls-max-version \(TLS1\.2\)/,
    ],
    ["an unknown cipher suite", ["--cipher-suites=TLS_NO"], /--cipher-suites: unexpected TLS cipher suite "TLS_NO"/],
    [
      "cipher suites where there is no choice",
      ["--tls-min-version=TLS1.3", "--cipher-suites=TLS_AES_128_GCM_SHA256"],
      /--cipher-suites cannot be configured when only TLS1\.3 is enabled/,
    ],
    ["client certificates without an authority", ["--client-cert-auth"], /--client-cert-auth needs --trusted-ca-file/],
    ["another kind of token", ["--auth-token=paseto"], /--auth-token: .*"paseto" is neither simple nor jwt/],
    ["a JWT without a method", ["--auth-token=jwt"], /--auth-token: auth: invalid auth signature method/],
    ["another state of the cluster", ["--initial-cluster-state=old"], /--initial-cluster-state is new or existing/],
    ["another compaction", ["--auto-compaction-mode=weekly"], /--auto-compaction-mode is periodic or revision/],
    ["a name to listen on", ["--listen-peer-urls=http://example.org:2380"], /expected IP in URL for binding \(http:/],
    ["half a heartbeat", ["--heartbeat-interval=0.5"], /--heartbeat-interval takes a whole number, not "0\.5"/],
    ["a negative number", ["--max-txn-ops=-1"], /--max-txn-ops takes a whole number/],
    ["a boolean that is none", ["--pre-vote=yes"], /--pre-vote takes true or false, not "yes"/],
    ["an unknown level", ["--log-level=loud"], /--log-level is one of debug, info, .*, not "loud"/],
    ["an unknown log format", ["--log-format=xml"], /--log-format is json or console, not "xml"/],
    ["an unknown feature", ["--feature-gates=Magic=true"], /unrecognized feature gate: Magic/],
    [
      "a feature that is not built",
      ["--feature-gates=SetMemberLocalAddr=true"],
      /SetMemberLocalAddr is not built here/,
    ],
    [
      "no time between two checks",
      ["--compact-hash-check-time=0s"],
      /^--compact-hash-check-time must be >0 \(set to 0s\)$/,
    ],
    [
      "what etcd has and we do not",
      ["--force-new-cluster"],
      /--force-new-cluster of etcd's is not built here .*restore/,
    ],
    ["discovery", ["--discovery=https://discovery.etcd.io/x"], /--discovery of etcd's is not built here/],
    ["an outside address without port", ["--listen-outside=127.0.0.1"], /--listen-outside/],
  ];
  for (const [name, flags, message] of rows) {
    test(name, () => {
      assert.throws(
        () => parseConfig(flags).cluster(),
        (error: Error) =>
          (error instanceof StartError || error instanceof FlagError) &&
          message.test(error.message) &&
          !error.message.includes("\n"),
      );
    });
  }
});

describe("etcd's flags count in every form", () => {
  const rows: [flag: string, value: string, seen?: unknown][] = [
    ["name", "a"],
    ["data-dir", "/tmp/d"],
    ["wal-dir", "/tmp/w"],
    ["listen-client-urls", "http://127.0.0.1:1,http://[::1]:2", ["http://127.0.0.1:1", "http://[::1]:2"]],
    ["advertise-client-urls", "http://a.example:1", ["http://a.example:1"]],
    ["listen-peer-urls", "http://127.0.0.1:3", ["http://127.0.0.1:3"]],
    ["listen-client-http-urls", "http://127.0.0.1:4", ["http://127.0.0.1:4"]],
    ["listen-metrics-urls", "http://127.0.0.1:5", ["http://127.0.0.1:5"]],
    ["initial-cluster-token", "t"],
    ["initial-cluster-state", "existing"],
    ["snapshot-count", "5", 5],
    ["snapshot-catchup-entries", "5", 5],
    ["heartbeat-interval", "50", 50],
    ["election-timeout", "5000", 5000],
    ["quota-backend-bytes", "-1", -1],
    ["max-txn-ops", "5", 5],
    ["max-request-bytes", "5", 5],
    ["auto-compaction-mode", "revision"],
    ["auto-compaction-retention", "5"],
    ["compaction-batch-limit", "5", 5],
    ["watch-progress-notify-interval", "5s", 5000],
    ["pre-vote", "false", false],
    ["initial-election-tick-advance", "false", false],
    ["enable-grpc-gateway", "false", false],
    ["log-level", "warn"],
    ["logger", "zap"],
    ["log-format", "console"],
    ["log-outputs", "stdout,/tmp/log", ["stdout", "/tmp/log"]],
    [
      "feature-gates",
      "StopGRPCServiceOnDefrag=true,LeaseCheckpoint=true,CompactHashCheck=false",
      ["StopGRPCServiceOnDefrag=true", "LeaseCheckpoint=true", "CompactHashCheck=false"],
    ],
    ["trusted-ca-file", "ca.crt"],
    ["client-crl-file", "crl"],
    ["auto-tls", "true", true],
    ["peer-trusted-ca-file", "ca.crt"],
    ["peer-crl-file", "crl"],
    ["peer-auto-tls", "true", true],
    ["auth-token", "simple"],
    ["auth-token-ttl", "5", 5],
    ["bcrypt-cost", "5", 5],
    ["force-new-cluster", "false", false],
    ["metrics", "basic"],
  ];
  for (const [flag, value, seen = value] of rows) {
    test(`--${flag}`, () => {
      const variable = `ETCD_${flag.toUpperCase().replaceAll("-", "_")}`;
      const forms = [
        parseConfig([`--${flag}=${value}`]),
        parseConfig([`-${flag}=${value}`]),
        ...(typeof seen === "boolean" || value === "-1" ? [] : [parseConfig([`--${flag}`, value])]),
        parseConfig([], { [variable]: value }),
      ];
      for (const { flags, unrecognized } of forms) {
        assert.deepEqual((flags as Record<string, unknown>)[flag], seen);
        assert.deepEqual(unrecognized, []);
      }
    });
  }

  test("those of 3.6 that mean nothing here: the default is taken, and what cannot be told apart", () => {
    for (const flag of [
      ...["max-learners=1", "memory-mlock=false", "downgrade-check-time=5s", "discovery-insecure-transport=true"],
      ...["distributed-tracing-sampling-rate=0", "raft-read-timeout=5s"],
      "experimental-compaction-sleep-interval=10ms",
      ...["experimental-enable-lease-checkpoint=true", "experimental-enable-lease-checkpoint=false"],
      ...["experimental-txn-mode-write-with-shared-buffer=false", "local-address="],
    ])
      parseConfig([`--${flag}`]);
    for (const flag of ["max-learners=2", "memory-mlock"])
      assert.throws(() => parseConfig([`--${flag}`]), /of etcd's is not built here/, flag);
  });

  test("--experimental-NAME is --NAME, and is told so", () => {
    const { flags, warnings } = parseConfig(["--experimental-compaction-batch-limit=7"]);
    assert.equal(flags["compaction-batch-limit"], 7);
    assert.match(warnings[0]!, /--experimental-compaction-batch-limit is deprecated: use --compaction-batch-limit/);
  });

  test("a cost of hashing that cannot be is replaced, as etcd does", () => {
    const { bcryptCost, warnings } = parseConfig(["--bcrypt-cost=50"]);
    assert.equal(bcryptCost, 10);
    assert.match(warnings[0]!, /use default bcrypt cost 10 instead of the invalid given cost 50/);
  });
});

describe("ETCD_* variables stand for flags", () => {
  test("each for its own", () => {
    const { flags, unrecognized } = parseConfig([], {
      ETCD_DATA_DIR: "/tmp/x",
      ETCD_HEARTBEAT_INTERVAL: "50",
      ETCD_PRE_VOTE: "false",
      ETCD_LISTEN_CLIENT_URLS: "http://127.0.0.1:1,http://127.0.0.1:2",
      ETCD_UNKNOWN: "1",
      ETCDCTL_API: "3",
    });
    assert.equal(flags["data-dir"], "/tmp/x");
    assert.equal(flags["heartbeat-interval"], 50);
    assert.equal(flags["pre-vote"], false);
    assert.deepEqual(flags["listen-client-urls"], ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    assert.deepEqual(unrecognized, ["ETCD_UNKNOWN"]);
  });

  test("a variable beside its flag is refused", () => {
    assert.throws(() => parseConfig(["--name=a"], { ETCD_NAME: "b" }), /conflicting environment variable "ETCD_NAME"/);
  });
});

test("without flags it is a cluster of its own, as etcd's default", () => {
  const config = parseConfig([]);
  assert.equal(config.dataDir, "default.etcd");
  assert.deepEqual(
    config.cluster().members.map(({ name, peerURLs }) => [name, peerURLs]),
    [["default", ["http://localhost:2380"]]],
  );
  assert.deepEqual(config.advertiseClientURLs, ["http://localhost:2379"]);
});

test("ids are etcd's: SHA-1 of peer URLs and token, the same at every member", () => {
  const at = (name: string, host: string) =>
    initialCluster({
      name,
      initialCluster: three.slice("--initial-cluster=".length),
      token: "etcd-cluster",
      advertisePeerURLs: [`http://${host}:2380`],
    });
  const a = at("a", "10.0.0.1");
  const b = at("b", "10.0.0.2");
  assert.equal(a.clusterId, b.clusterId);
  assert.deepEqual(
    a.members.map(({ id }) => id),
    b.members.map(({ id }) => id),
  );
  // etcd gives its default single member (http://localhost:2380) this well-known id.
  assert.equal(parseConfig([]).cluster().self.id.toString(16), "8e9e05c52164694d");
  assert.equal(parseConfig([]).cluster().clusterId.toString(16), "cdf818194e3a8c32");
});

describe("cipher suites have Go's names", () => {
  for (const [suite, openssl] of [
    ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"],
    ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"],
    ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"],
    ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"],
    ["TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"],
    ["TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"],
  ]) {
    test(suite!, () => {
      const { ciphers } = parseConfig([`--cipher-suites=${suite}`]).clientTLS.rules;
      assert.equal(ciphers, `${openssl}:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256`);
    });
  }
});

test("what is odd is told and does no harm", () => {
  const { warnings, clientTLS } = parseConfig(["--cert-file=a.crt", "--key-file=a.key", "--auto-tls"]);
  assert.equal(clientTLS.files, undefined);
  assert.match(warnings[0]!, /--auto-tls is ignored/);
  assert.match(warnings[1]!, /http:\/\/localhost:2379: the scheme is HTTP while key and cert files are present/);
});

describe("flags of etcd 3.5 and 3.6", () => {
  // As their help spells them, with their defaults.
  const flags = `
    snapshot-catchup-entries=5000 max-snapshots=5 max-wals=5 backend-bbolt-freelist-type=map backend-batch-interval=
    backend-batch-limit=0 max-txn-ops=128 max-request-bytes=1572864 max-concurrent-streams=4294967295
    grpc-keepalive-min-time=5s grpc-keepalive-interval=2h grpc-keepalive-timeout=20s socket-reuse-port=false
    socket-reuse-address=false raft-read-timeout=5s raft-write-timeout=5s discovery= discovery-endpoints= discovery-token=
    discovery-dial-timeout=2s discovery-request-timeout=5s discovery-keepalive-time=2s discovery-keepalive-timeout=6s
    discovery-insecure-transport=true discovery-insecure-skip-tls-verify=false discovery-cert= discovery-key=
    discovery-cacert= discovery-user= discovery-password= discovery-srv= discovery-srv-name= discovery-fallback=proxy
    discovery-proxy= strict-reconfig-check=true pre-vote=true auto-compaction-retention=0 auto-compaction-mode=periodic
    enable-v2=false v2-deprecation=not-yet v2-deprecation=write-only v2-deprecation=write-only-drop-data v2-deprecation=gone
    client-cert-file= client-key-file= client-crl-file= client-cert-allowed-hostname= peer-client-cert-file=
    peer-client-key-file= peer-crl-file= peer-cert-allowed-cn= peer-cert-allowed-hostname= self-signed-cert-validity=1
    cipher-suites= cors=* host-whitelist=* tls-min-version=TLS1.2 tls-max-version= auth-token=simple bcrypt-cost=10
    auth-token-ttl=300 enable-pprof=false metrics=basic listen-metrics-urls= logger=zap log-outputs=default log-level=info
    log-format=json enable-log-rotation=false enable-grpc-gateway=true corrupt-check-time=0s compact-hash-check-time=1m
    compact-hash-check-time=1m0s compaction-batch-limit=1000 compaction-sleep-interval=10ms
    watch-progress-notify-interval=10m downgrade-check-time=5s warning-apply-duration=100ms
    warning-unary-request-duration=300ms memory-mlock=false bootstrap-defrag-threshold-megabytes=0 max-learners=1
    enable-distributed-tracing=false distributed-tracing-address=localhost:4317 distributed-tracing-service-name=etcd
    distributed-tracing-instance-id= distributed-tracing-sampling-rate=0 peer-skip-client-san-verification=false
    unsafe-no-fsync=false force-new-cluster=false feature-gates=LeaseCheckpoint=true,InitialCorruptCheck=false
    proxy=off proxy-failure-wait=5000 proxy-refresh-interval=30000 proxy-dial-timeout=1000 proxy-write-timeout=5000
    proxy-read-timeout=0 experimental-initial-corrupt-check=false experimental-corrupt-check-time=0s
    experimental-compact-hash-check-enabled=false experimental-compact-hash-check-time=1m experimental-enable-v2v3=
    experimental-enable-lease-checkpoint=false experimental-enable-lease-checkpoint=true
    experimental-enable-lease-checkpoint-persist=false experimental-compaction-batch-limit=1000
    experimental-compaction-sleep-interval=10ms experimental-peer-skip-client-san-verification=false
    experimental-watch-progress-notify-interval=10m experimental-downgrade-check-time=5s experimental-memory-mlock=false
    experimental-warning-apply-duration=100ms experimental-warning-unary-request-duration=300ms
    experimental-txn-mode-write-with-shared-buffer=true experimental-bootstrap-defrag-threshold-megabytes=0
    experimental-stop-grpc-service-on-defrag=false experimental-stop-grpc-service-on-defrag=true
    experimental-max-learners=1 experimental-snapshot-catchup-entries=5000 experimental-set-member-localaddr=false
    experimental-enable-distributed-tracing=false experimental-distributed-tracing-address=localhost:4317
    experimental-distributed-tracing-service-name=etcd experimental-distributed-tracing-instance-id=
    experimental-distributed-tracing-sampling-rate=0`;

  test.each(flags.trim().split(/\s+/))("--%s is taken", (flag) => {
    parseConfig([`--${flag}`]);
  });

  test.each([
    ["unsafe-no-fsync=true", "unsafe-no-fsync"],
    ["max-wals=9", "max-wals"],
    ["discovery=https://discovery.etcd.io/x", "discovery"],
    ["feature-gates=SetMemberLocalAddr=true", "feature-gates"],
    ["experimental-set-member-localaddr=true", "set-member-localaddr"],
  ])("--%s is refused with one line that names it", (flag, name) => {
    assert.throws(
      () => parseConfig([`--${flag}`]),
      new RegExp(`^\\w*Error: [^\n]*--${name}[^\n]* not built here[^\n]*$`),
    );
  });

  test.each([
    ["0s", 600_000, 0],
    ["1ms", 100, 1],
    ["100ms", 100, 0],
    ["5s", 5000, 0],
  ])("--watch-progress-notify-interval=%s is %i ms", (given, ms, warnings) => {
    const config = parseConfig([`--watch-progress-notify-interval=${given}`]);
    assert.deepEqual([config.progressNotifyMs, config.warnings.length], [ms, warnings]);
  });
});

test.each([
  ["http://[::1]:2380", { host: "::1", port: 2380 }],
  ["http://127.0.0.1:0", { host: "127.0.0.1", port: 0 }],
  ["http://10.0.0.1:80", { host: "10.0.0.1", port: 80 }],
  ["https://etcd.example:443", { host: "etcd.example", port: 443 }],
])("the address of %s, be its port the scheme's own or not", (url, address) => {
  assert.deepEqual(addressOf(url), address);
});
