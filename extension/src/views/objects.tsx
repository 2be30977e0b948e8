/**
 * The section "Objects": the filter, the listings with their counts, the table, and the messages that stand in its place.
 *
 * Covers what surrounds the table; the table itself is in `table.tsx`, messages are in `messages.tsx`.
 */

import * as React from 'react';

import { formatBytes } from '../format';
import type { Listing } from '../tokens';
import { CommandIDs, LISTINGS } from '../tokens';
import { DeletedList } from './deleted';
import { FilterBox } from './filter';
import { Icon } from './icons';
import { Message } from './messages';
import { Options } from './options';
import { ObjectTable } from './table';
import type { IViewProps } from './types';
import { useSignal } from './use';

export function ObjectsView(props: IViewProps): JSX.Element {
  const { model } = props;
  useSignal(model.changed);
  const { listing } = model.layout;
  const something = (model.state?.objects.length ?? 0) > 0;
  return (
    <div className="wb-ObjectsView">
      {model.state !== null && (
        <div className="wb-ObjectsView-bar">
          <Listings {...props} />
        </div>
      )}
      {something && listing !== 'deleted' && (
        <>
          <div className="wb-ObjectsView-search">
            <FilterBox {...props} />
            <Pause {...props} />
            <Options {...props} />
          </div>
          {model.paused && <Pending {...props} />}
        </>
      )}
      <Message {...props} />
      <Clearing {...props} />
      <div id="wb-listing" role="tabpanel" aria-labelledby={`wb-listing-${listing}`} className="wb-ObjectsView-panel">
        {listing === 'deleted' ? <DeletedList {...props} /> : something && <ObjectTable {...props} />}
      </div>
      <Selected {...props} />
    </div>
  );
}

/** All objects, those without a name, and what is deleted but held: each with how many there are. */
function Listings({ model, trans }: IViewProps): JSX.Element {
  const labels: Readonly<Record<Listing, string>> = {
    objects: trans.__('Objects'),
    unnamed: trans.__('Unnamed'),
    deleted: trans.__('Deleted')
  };
  const titles: Readonly<Record<Listing, string>> = {
    objects: trans.__('All objects'),
    unnamed: trans.__('Objects without a name: they stay until somebody deletes them'),
    deleted: trans.__('Deleted, but still mapped by a process')
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowLeft: LISTINGS.length - 1 }[event.key];
    if (step !== undefined) {
      const next = LISTINGS[(LISTINGS.indexOf(model.layout.listing) + step) % LISTINGS.length];
      model.arrange({ listing: next });
      document.getElementById(`wb-listing-${next}`)?.focus();
      event.preventDefault();
      event.stopPropagation();
    }
  };
  return (
    <div role="tablist" className="wb-Listings" aria-label={trans.__('What is listed')} onKeyDown={onKeyDown}>
      {LISTINGS.map(listing => (
        <button
          key={listing}
          id={`wb-listing-${listing}`}
          role="tab"
          type="button"
          className="wb-Listings-tab"
          aria-selected={listing === model.layout.listing}
          aria-controls="wb-listing"
          tabIndex={listing === model.layout.listing ? 0 : -1}
          data-listing={listing}
          title={titles[listing]}
          onClick={() => model.arrange({ listing })}
        >
          {labels[listing]}{' '}
          <span className="wb-Listings-count">
            {model.counts[listing].toLocaleString()}
            {model.state?.partial === true && '+'}
          </span>
        </button>
      ))}
    </div>
  );
}

/** Hold the list still, and say what it does not show then. */
function Pause({ commands, model, trans }: IViewProps): JSX.Element {
  const title = model.paused ? trans.__('Show what changed') : trans.__('Hold the list still');
  return (
    <button
      className="wb-IconButton"
      type="button"
      title={title}
      aria-label={title}
      aria-pressed={model.paused}
      onClick={() => void commands.execute(CommandIDs.pause)}
    >
      <Icon name={model.paused ? 'play' : 'pause'} />
    </button>
  );
}

function Pending({ model, trans }: IViewProps): JSX.Element {
  return (
    <div className="wb-Pending" role="status">
      {trans._n(
        'The list stands still: %1 object changed.',
        'The list stands still: %1 objects changed.',
        model.pending
      )}
    </div>
  );
}

/** For what nobody wants any more: one button that clears all of it, and how much that is. */
function Clearing({ commands, model, trans }: IViewProps): JSX.Element {
  const { listing } = model.layout;
  if (listing === 'objects' || model.counts[listing] === 0) {
    return <></>;
  }
  const unnamed = listing === 'unnamed';
  const nbytes = unnamed
    ? (model.state?.objects ?? []).reduce((sum, object) => sum + (object.name === null ? object.nbytes : 0), 0)
    : (model.state?.deleted ?? []).reduce((sum, holder) => sum + holder.nbytes, 0);
  const id = unnamed ? CommandIDs.deleteUnnamed : CommandIDs.free;
  return (
    <div className="wb-Clearing">
      <span>
        {unnamed
          ? trans.__('%1 in objects without a name', formatBytes(nbytes))
          : trans.__('%1 kept by processes after deletion', formatBytes(nbytes))}
      </span>
      <button
        className="jp-mod-styled wb-Clearing-button"
        type="button"
        disabled={!commands.isEnabled(id)}
        onClick={() => void commands.execute(id)}
      >
        {unnamed ? trans.__('Delete All') : trans.__('Free All')}
      </button>
    </div>
  );
}

/** How many objects are selected, and how large they are together. */
function Selected({ model, trans }: IViewProps): JSX.Element {
  const ids = model.selection;
  if (ids.length < 2 || model.layout.listing === 'deleted') {
    return <div className="wb-Selected" role="status" hidden />;
  }
  const nbytes = ids.reduce((sum, id) => sum + (model.find(id)?.nbytes ?? 0), 0);
  return (
    <div className="wb-Selected" role="status">
      {trans._n('%1 object selected, %2', '%1 objects selected, %2', ids.length, formatBytes(nbytes))}
    </div>
  );
}
