import { createTRPCClient, httpLink, httpSubscriptionLink, splitLink } from "@trpc/client"
import type { AppRouter } from "./app-router"

export const trpc = createTRPCClient<AppRouter>({
  links: [
    splitLink({
      condition: (op) => op.type === "subscription",
      true: httpSubscriptionLink({ url: "/trpc" }),
      false: httpLink({ url: "/trpc" }),
    }),
  ],
})
