/** The mark of a dataset of which partitions are missing, in a row, a head or a card. */

import * as React from 'react';

import { missingAdvice, missingLabel, missingOf } from '../completeness';
import type { ITrans } from '../format';
import type { IObject } from '../tokens';
import { Icon } from './icons';

interface IProps {
  readonly object: IObject;
  /** The sign alone, or the words alone, where the other one is beside it; both where not. */
  readonly part?: 'sign' | 'words';
  readonly trans: ITrans;
}

/** Nothing, of whatever is whole. */
export function Missing({ object, part, trans }: IProps): JSX.Element | null {
  const missing = missingOf(object);
  if (missing === null) {
    return null;
  }
  const label = missingLabel(missing, trans);
  const advice = missingAdvice(missing, trans);
  return part === 'sign' ? (
    <span className="wb-Missing-sign" role="img" aria-label={label} title={advice}>
      <Icon name="warning" size={12} />
    </span>
  ) : (
    <span className="wb-Missing" title={advice}>
      {part === undefined && (
        <span className="wb-Missing-sign">
          <Icon name="warning" size={12} />
        </span>
      )}
      {label}
    </span>
  );
}
