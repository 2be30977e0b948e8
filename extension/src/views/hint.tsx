/** A short message in a section, with the line of code that helps, ready to be copied, or a button that does. */

import * as React from 'react';

import type { ITrans } from '../format';
import { Icon } from './icons';
import { copyText } from './use';

interface IProps {
  readonly action?: { readonly label: string; readonly run: () => void };
  readonly children: React.ReactNode;
  readonly code?: string;
  readonly kind?: 'hint' | 'warning';
  readonly title?: string;
  readonly trans: ITrans;
}

export function Hint({ action, children, code, kind = 'hint', title, trans }: IProps): JSX.Element {
  return (
    <div className="wb-Hint" data-kind={kind} role={kind === 'warning' ? 'alert' : undefined}>
      {title && <div className="wb-Hint-title">{title}</div>}
      <div className="wb-Hint-text">{children}</div>
      {code && (
        <div className="wb-Hint-code">
          <code>{code}</code>
          <button
            className="jp-mod-minimal wb-IconButton"
            type="button"
            title={trans.__('Copy')}
            aria-label={trans.__('Copy this code')}
            onClick={() => void copyText(code)}
          >
            <Icon name="copy" size={14} />
          </button>
        </div>
      )}
      {action && (
        <button className="jp-mod-styled jp-mod-accept wb-Hint-button" type="button" onClick={action.run}>
          {action.label}
        </button>
      )}
    </div>
  );
}
