/** The modules of the server's page that this page stands on, as far as it names them. */

declare module "fivefold-page/dom.js" {
  export function el(tag: string, attributes?: Record<string, unknown>, ...children: unknown[]): HTMLElement;
  export function byId(id: string): HTMLElement;
  export function parse(text: string): any;
}

declare module "fivefold-page/versions.js" {
  export function choice(
    about: { contract: string; contracts: readonly string[] },
    wanted: string | undefined,
  ): { versions: readonly string[]; chosen: string; standard: string } | null;
}

declare module "fivefold-page/contract.js" {
  export function example(contract: unknown): unknown;
}

declare module "fivefold-page/page.js" {}
