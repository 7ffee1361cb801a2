// The OpenID-certified `oidc-provider` as a CI system's issuer: client credentials in, a JWT access token out.
//
// Configured by one JSON document on the environment variable OIDC_CONFIG:
//   { "port": 4011, "audience": "doorward",
//     "clients": [{ "id": "ci-bot", "secret": "…", "alg": "RS256", "ttl": 3600, "claims": { "groups": ["agents"] } }],
//     "web": [{ "id": "doorward", "secret": "…", "redirect_uris": ["http://127.0.0.1:8443/auth/callback/corp"] }],
//     "people": { "alice": { "groups": ["sre"] } } }
// `web` are applications that people sign in to, by a form that takes their name and any password, or by the device
// flow; without a secret a public client. Their groups are at the userinfo endpoint, not in the identity token.
// The subject of a token is the client's id. The keys are new at every start, which is a key rotation to whoever has
// cached the old ones. Prints `ready ISSUER` when it listens.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { importJWK, SignJWT } from 'jose';
import { Provider } from 'oidc-provider';

const config = JSON.parse(process.env.OIDC_CONFIG);
const issuer = `http://127.0.0.1:${config.port}`;
const clientsById = new Map(config.clients.map((client) => [client.id, client]));

const keyKinds = [
  ['RS256', 'rsa', { modulusLength: 2048 }],
  ['PS256', 'rsa', { modulusLength: 2048 }],
  ['ES256', 'ec', { namedCurve: 'P-256' }],
  ['EdDSA', 'ed25519', {}],
];

function signingKeys() {
  return keyKinds.map(([alg, kind, options]) => {
    const jwk = generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' });
    return { ...jwk, alg, use: 'sig', kid: `${alg}-${randomBytes(4).toString('hex')}` };
  });
}

const keys = signingKeys();
const provider = new Provider(issuer, {
  jwks: { keys },
  clients: (config.web ?? []).map((web) => ({
    client_id: web.id,
    client_secret: web.secret ?? undefined,
    token_endpoint_auth_method: web.secret ? 'client_secret_basic' : 'none',
    grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
    response_types: ['code'],
    redirect_uris: web.redirect_uris,
  })).concat(config.clients.map((client) => ({
    client_id: client.id,
    client_secret: client.secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'client_secret_post',
  }))),
  scopes: ['openid', 'profile', 'email', 'groups'],
  claims: { openid: ['sub'], groups: ['groups'] },
  pkce: { required: () => true },
  findAccount: (_ctx, id) => (config.people?.[id] && { accountId: id, claims: () => ({ sub: id, ...config.people[id] }) }),
  enabledJWA: { idTokenSigningAlgValues: keyKinds.map(([alg]) => alg) },
  features: {
    devInteractions: { enabled: Boolean(config.web?.length) },
    deviceFlow: { enabled: Boolean(config.web?.length) },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (_ctx, client) => (clientsById.has(client.clientId) ? 'urn:doorward' : undefined),
      getResourceServerInfo: (_ctx, _resource, { clientId }) => ({
        scope: '',
        audience: config.audience,
        accessTokenFormat: 'jwt',
        accessTokenTTL: clientsById.get(clientId).ttl,
        jwt: { sign: { alg: clientsById.get(clientId).alg } },
      }),
    },
  },
  extraTokenClaims: (_ctx, token) => clientsById.get(token.clientId)?.claims,
});
// For tests: `GET /test/session-revoked?sub=alice&aud=doorward[&at=SECONDS]` gives a security event (RFC 8417, OpenID CAEP
// 1.0) that is signed by the provider's key with jose, as a transmitter would push it.
provider.use(async (ctx, next) => {
  if (ctx.path !== '/test/session-revoked') return next();
  const { sub, aud, at } = ctx.query;
  const jwk = keys.find((key) => key.alg === 'ES256');
  const event = { event_timestamp: Number(at ?? Math.floor(Date.now() / 1000)) };
  ctx.body = await new SignJWT({
    sub_id: { format: 'iss_sub', iss: issuer, sub },
    events: { 'https://schemas.openid.net/secevent/caep/event-type/session-revoked': event },
  })
    .setProtectedHeader({ alg: 'ES256', kid: jwk.kid, typ: 'secevent+jwt' })
    .setIssuer(issuer).setAudience(aud).setIssuedAt().setJti(randomBytes(8).toString('hex'))
    .sign(await importJWK(jwk, 'ES256'));
});
provider.on('server_error', (_ctx, error) => console.error('server_error', error));

provider.listen(config.port, '127.0.0.1', () => console.log(`ready ${issuer}`));
