/** A short message in a section, with the line of code that helps, ready to be copied. */

import { Clipboard } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { copyIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

interface IProps {
  readonly children: React.ReactNode;
  readonly code?: string;
  readonly kind?: 'hint' | 'warning';
  readonly title?: string;
  readonly trans: TranslationBundle;
}

export function Hint({ children, code, kind = 'hint', title, trans }: IProps): JSX.Element {
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
            onClick={() => Clipboard.copyToSystem(code)}
          >
            <copyIcon.react tag="span" width="14px" />
          </button>
        </div>
      )}
    </div>
  );
}
