import type { SelfSubjectReview, TokenReview, UserInfo } from "../../api/generated/authentication-v1.ts";
import { badRequest } from "../../apimachinery/status.ts";
import type { Maker } from "../registry/context.ts";
import type { User } from "../request.ts";
import type { Authenticator } from "./authenticator.ts";

const group = "authentication.k8s.io";

/** The kinds of authentication.k8s.io: who am I, and whose is this token. */
export function authenticationMakers(authenticator: Authenticator): [string, Maker][] {
  return [
    [
      `${group}/selfsubjectreviews`,
      (object, { user }) => {
        const review = object as SelfSubjectReview;
        review.status = { userInfo: userInfoOf(user) };
        return review;
      },
    ],
    [
      `${group}/tokenreviews`,
      async (object) => {
        const review = object as TokenReview;
        const { token, audiences } = review.spec ?? {};
        if (!token) throw badRequest("token is required for TokenReview in authentication");
        const wanted = audiences?.length ? audiences : authenticator.audiences;
        const found = await authenticator.token(token, wanted);
        review.status = found
          ? { authenticated: true, user: userInfoOf(found.user), audiences: [...found.audiences] }
          : { error: "invalid bearer token" };
        return review;
      },
    ],
  ];
}

export function userInfoOf({ name, uid, groups, extra }: User): UserInfo {
  return {
    username: name,
    ...(uid ? { uid } : {}),
    groups: [...groups],
    ...(extra && Object.keys(extra).length > 0
      ? { extra: Object.fromEntries(Object.entries(extra).map(([key, values]) => [key, [...values]])) }
      : {}),
  };
}
