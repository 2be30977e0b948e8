/**
 * The preview of an object: its head, then rows, a picture or text, or why there is nothing to see.
 *
 * Whatever comes from the server is shown as text.
 */

import * as React from 'react';

import { missingOf } from '../completeness';
import type { ITrans } from '../format';
import { formatBytes, formatShape, typeLabel } from '../format';
import type { IObject, IProblem } from '../tokens';
import { KindIcon } from '../views/icons';
import { Missing } from '../views/missing';
import { useSignal } from '../views/use';
import { Grid } from './grid';
import type { PreviewPages } from './pages';
import type { IPreview } from './tokens';

interface IProps {
  /** What it is called, while `object` is not known. */
  readonly label: string;
  /** The object as it is now; null while that is not known, or when it is gone. */
  readonly object: IObject | null;
  readonly gone: boolean;
  readonly pages: PreviewPages;
  readonly trans: ITrans;
  /** Bring to this host what is elsewhere of the object; only where there is a cluster. */
  readonly bring?: () => Promise<unknown>;
  /** Open the menu of actions. */
  readonly openMenu?: (element: HTMLElement, object: IObject) => void;
}

export function PreviewView(props: IProps): JSX.Element {
  const { pages } = props;
  return (
    <div className="wb-Preview" data-workbench-preview={pages.object}>
      <Head {...props} />
      <Content {...props} />
    </div>
  );
}

function Head({ gone, label, object, openMenu, trans }: IProps): JSX.Element {
  return (
    <div className="wb-Preview-head">
      {object !== null && <KindIcon kind={object.kind} />}
      <h2 className="wb-Preview-name">
        <bdi>{label}</bdi>
      </h2>
      {object !== null && (
        <span className="wb-Preview-about">
          {[typeLabel(object), formatShape(object.shape), formatBytes(object.nbytes + object.shared_nbytes)]
            .filter(Boolean)
            .join(' · ')}
        </span>
      )}
      {object !== null && <Missing object={object} trans={trans} />}
      {gone && (
        <span className="wb-Preview-gone" role="status">
          {trans.__('deleted')}
        </span>
      )}
      {object !== null && openMenu !== undefined && (
        <button
          className="jp-mod-styled wb-Card-button wb-Preview-actions"
          type="button"
          aria-haspopup="menu"
          onClick={event => openMenu(event.currentTarget, object)}
        >
          {trans.__('Actions')}
        </button>
      )}
    </div>
  );
}

function Content({ bring, label, object, pages, trans }: IProps): JSX.Element {
  useSignal(pages.changed);
  const { page } = pages;
  const { preview, problem } = page;
  const failure = problem !== null && (
    <Failure
      title={preview === null ? trans.__('There is no preview') : trans.__('These rows cannot be shown')}
      problem={problem}
      bring={bring}
      object={object}
      retry={() => void pages.retry()}
      trans={trans}
    />
  );
  if (failure && preview === null) {
    return failure;
  }
  if (preview === null) {
    return (
      <div className="wb-Loading" role="status">
        {trans.__('Loading…')}
      </div>
    );
  }
  if (preview.kind === 'text') {
    return (
      <pre className="wb-Preview-text" tabIndex={0} aria-label={trans.__('Content of %1', label)}>
        {preview.text ?? ''}
      </pre>
    );
  }
  return (
    <>
      {failure}
      {preview.kind === 'image' && <Picture label={label} pages={pages} trans={trans} />}
      {preview.text && (
        <div className="wb-Preview-lacks">
          <p className="wb-Preview-note">{preview.text}</p>
          {!failure && preview.elsewhere !== undefined && bring !== undefined && (
            <BringButton
              bring={bring}
              className="jp-mod-styled wb-Card-button"
              nbytes={preview.elsewhere}
              retry={() => void pages.retry()}
              trans={trans}
            />
          )}
        </div>
      )}
      {hasCells(preview) ? (
        <Grid
          label={label}
          page={page}
          preview={preview}
          summary={pages.summary}
          trans={trans}
          show={(row, column) => void pages.show(row, column)}
        />
      ) : (
        preview.kind !== 'image' && <p className="wb-Preview-note">{trans.__('It is empty.')}</p>
      )}
      {pages.summaryProblem !== null && (
        <p className="wb-Preview-note" role="status">
          {trans.__('The columns could not be summed up: %1', pages.summaryProblem.message)}
        </p>
      )}
      {pages.summary?.sampled === true && (
        <p className="wb-Preview-note">
          {trans.__('Summed up from %1 rows.', pages.summary.rows.toLocaleString('en-US'))}
        </p>
      )}
    </>
  );
}

function hasCells(preview: IPreview): boolean {
  return preview.columns.length > 0;
}

function Failure(props: {
  title: string;
  problem: IProblem;
  object: IObject | null;
  bring?: () => Promise<unknown>;
  retry: () => void;
  trans: ITrans;
}): JSX.Element {
  const { object, problem, retry, title, trans } = props;
  const bring = problem.kind === 'elsewhere' ? props.bring : undefined;
  return (
    <div className="wb-Hint" data-kind="warning" role="alert">
      <div className="wb-Hint-title">{title}</div>
      <div className="wb-Hint-text">
        {problem.kind === 'missing'
          ? trans.__('The server extension workbench.jupyter.server is not enabled, or older than this one.')
          : problem.message}
      </div>
      {bring === undefined ? (
        <button className="jp-mod-styled jp-mod-accept wb-Hint-button" type="button" onClick={retry}>
          {trans.__('Try Again')}
        </button>
      ) : (
        <BringButton
          bring={bring}
          className="jp-mod-styled jp-mod-accept wb-Hint-button"
          // Of a dataset that is not whole, what can be brought is less.
          nbytes={object === null || missingOf(object) !== null ? null : object.nbytes + object.shared_nbytes}
          retry={retry}
          trans={trans}
        />
      )}
    </div>
  );
}

/** Brings here what other nodes have, and then looks again. */
function BringButton(props: {
  bring: () => Promise<unknown>;
  className: string;
  nbytes: number | null;
  retry: () => void;
  trans: ITrans;
}): JSX.Element {
  const { bring, className, nbytes, retry, trans } = props;
  return (
    <button className={className} type="button" onClick={() => void bring().then(retry)}>
      {nbytes === null
        ? trans.__('Replicate to This Host')
        : trans.__('Replicate to This Host (%1)', formatBytes(nbytes))}
    </button>
  );
}

function Picture(props: { label: string; pages: PreviewPages; trans: ITrans }): JSX.Element {
  const { label, pages, trans } = props;
  const { image, imageProblem } = pages;
  const [url, setUrl] = React.useState<string | null>(null);
  React.useEffect(() => {
    if (image === null) {
      return;
    }
    const made = URL.createObjectURL(image);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [image]);
  if (imageProblem !== null) {
    return (
      <p className="wb-Preview-note" role="status">
        {trans.__('The picture could not be made: %1', imageProblem.message)}
      </p>
    );
  }
  return (
    <div className="wb-Preview-picture">
      {url === null ? (
        <div className="wb-Loading" role="status">
          {trans.__('Loading…')}
        </div>
      ) : (
        <img src={url} alt={trans.__('%1 as a picture', label)} />
      )}
    </div>
  );
}
