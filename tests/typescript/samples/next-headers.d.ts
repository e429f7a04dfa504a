// next itself is not installed here; this is what auth.ts uses of it.
declare module 'next/headers' {
  export function headers(): Promise<Headers>;
}
