/** What an action on several objects would do: the sum of what it would do to each. Covers asking and adding up. */

import { inTurn, messageOf } from './notices';
import type { IApi, IObject, IPlan, IPlanRequest } from './tokens';

/** So many objects are asked about; for more, what is told is what these would do. */
const MOST = 40;

export interface IPlanSum {
  readonly count: number;
  readonly nbytes: number;
  /** Null where it is not known. */
  readonly seconds: number | null;
  readonly evicts: IPlan['evicts'];
  /** Why some are refused, and how many. */
  readonly refused: readonly string[];
  /** How many objects would have no replica any more. */
  readonly last: number;
  /** Whether all of them were asked about. */
  readonly complete: boolean;
}

/** Ask what would happen to each object; where the server cannot tell, only sizes are known. */
export async function planAll(api: IApi, objects: readonly IObject[], request: IPlanRequest): Promise<IPlanSum> {
  const asked = objects.slice(0, MOST);
  const plans = await inTurn(asked, 6, object =>
    api.plan(object.id, request).catch(error => unknown(object, error as unknown))
  );
  const seconds = plans.map(plan => plan.seconds).filter(each => each !== null);
  const evicts = new Map(
    plans.flatMap(plan => plan.evicts.map(each => [`${each.node} ${each.id ?? each.name} ${each.what}`, each]))
  );
  return {
    count: objects.length,
    nbytes: plans.reduce((sum, plan) => sum + plan.nbytes, 0) + sizes(objects.slice(MOST)),
    seconds: seconds.length === 0 ? null : seconds.reduce((sum, each) => sum + each, 0),
    evicts: [...evicts.values()],
    refused: plans.flatMap(plan => (plan.refused === null ? [] : [plan.refused.message])),
    last: plans.filter(plan => plan.last_replica).length,
    complete: asked.length === objects.length
  };
}

function sizes(objects: readonly IObject[]): number {
  return objects.reduce((sum, object) => sum + object.nbytes, 0);
}

function unknown(object: IObject, error: unknown): IPlan {
  const kind = (error as { kind?: string }).kind ?? 'http';
  // A server of another version may not know the question; anything else is a reason.
  const refused = kind === 'missing' ? null : { kind, message: messageOf(error) };
  return { nbytes: object.nbytes, seconds: null, evicts: [], refused, last_replica: false };
}
