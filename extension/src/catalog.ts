/** Which commands there are: what each is called, what it takes, and when it is for an object or a node. */

import { Clipboard } from '@jupyterlab/apputils';
import { NotebookActions } from '@jupyterlab/notebook';
import { addBelowIcon, closeIcon, copyIcon, refreshIcon } from '@jupyterlab/ui-components';
import type { ReadonlyJSONObject, ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { Actions } from './actions';
import { fetchCode } from './code';
import type { ICommandOptions, IGeneralCommand, INodeCommand, IObjectCommand } from './commands';
import { languageOf } from './drag';
import type { ITrans } from './format';
import { holderLabel, isolate } from './format';
import { moveIcon, pinIcon, replicateIcon, workbenchIcon } from './icons';
import type { IObject, IOperation } from './tokens';
import { CommandIDs } from './tokens';

/** Commands that are about no object in particular. */
export function generalCommands(options: ICommandOptions): IGeneralCommand[] {
  const { focusFilter, model, openNotebook, openPanel, trans } = options;
  const actions = new Actions(model, trans);
  const pathOf = ({ path }: ReadonlyPartialJSONObject): string | undefined =>
    typeof path === 'string' ? path : (model.find()?.holders.find(holder => holder.path)?.path ?? undefined);
  return [
    {
      id: CommandIDs.openPanel,
      label: trans.__('Workbench'),
      caption: trans.__('Show the objects in shared memory, and on which nodes they are'),
      icon: workbenchIcon,
      execute: openPanel
    },
    {
      id: CommandIDs.refresh,
      label: trans.__('Refresh Workbench'),
      caption: trans.__('Ask the server what is shared now'),
      icon: refreshIcon,
      execute: () => model.refresh()
    },
    {
      id: CommandIDs.pause,
      label: trans.__('Hold Workbench List Still'),
      caption: trans.__('Let the list of objects stand still while they come and go; again to let it go on'),
      toggled: () => model.paused,
      execute: () => {
        model.paused = !model.paused;
      }
    },
    {
      id: CommandIDs.focusFilter,
      label: trans.__('Filter Workbench Objects'),
      caption: trans.__('Open the panel and type what to look for'),
      properties: { filter: { type: 'string', description: trans.__('What to filter by, such as node:a size:>1GB') } },
      execute: ({ filter }) => {
        if (typeof filter === 'string') {
          model.arrange({ filter });
        }
        openPanel();
        focusFilter?.();
      }
    },
    {
      id: CommandIDs.selectAll,
      label: trans.__('Select All Workbench Objects'),
      caption: trans.__('Select all objects that pass the filter'),
      enabled: () => model.objects.length > 0,
      execute: () => model.selectAll()
    },
    {
      id: CommandIDs.deleteUnnamed,
      label: trans.__('Delete All Unnamed Objects…'),
      caption: trans.__('Delete every object that has no name and is not pinned'),
      enabled: () => model.counts.unnamed > 0 && model.permissions.write,
      execute: () => actions.deleteUnnamed()
    },
    {
      id: CommandIDs.free,
      label: trans.__('Free Deleted Objects'),
      caption: trans.__('Give back the memory of what was deleted, and say who keeps the rest'),
      enabled: () => model.state?.store !== null && model.state !== null && model.permissions.write,
      execute: () => actions.free()
    },
    {
      id: CommandIDs.openHolder,
      label: trans.__('Open Notebook That Holds It'),
      caption: trans.__('Open the notebook that has this object mapped'),
      properties: {
        path: {
          type: 'string',
          description: trans.__('Path of the notebook; without it, of one that holds the selected object')
        }
      },
      hide: true,
      enabled: args => openNotebook !== undefined && pathOf(args) !== undefined,
      execute: args => {
        const path = pathOf(args);
        if (path !== undefined) {
          openNotebook?.(path);
        }
      }
    }
  ];
}

/** Commands on objects that need no cluster. */
export function objectCommands({ model, notebooks, showPartitions, trans }: ICommandOptions): IObjectCommand[] {
  const actions = new Actions(model, trans);
  const here = (object: IObject, state: string): boolean =>
    object.replicas.some(replica => replica.node === model.state?.store?.node && replica.state === state);
  const onlyElsewhere = (object: IObject): string | null => {
    const nodes = object.replicas.map(({ node }) => node);
    return model.state?.store && nodes.includes(model.state.store.node)
      ? null
      : trans.__('only on %1', object.replicas.map(({ node_name }) => isolate(node_name)).join(', '));
  };
  const text = (description: string): ReadonlyJSONObject => ({ type: 'string', description });
  return [
    {
      id: CommandIDs.insertCode,
      label: trans.__('Insert Code'),
      caption: trans.__('Insert a cell that fetches this object into the current notebook, without running it'),
      icon: addBelowIcon,
      suits: () => notebooks?.currentWidget !== undefined && notebooks.currentWidget !== null,
      execute: objects => insertCell(notebooks, objects)
    },
    {
      id: CommandIDs.copyName,
      label: trans.__('Copy Name'),
      caption: trans.__('Copy the name of this object, or its id when it has none'),
      icon: copyIcon,
      execute: objects => Clipboard.copyToSystem(objects.map(object => object.name ?? object.id).join('\n'))
    },
    {
      id: CommandIDs.rename,
      label: trans.__('Rename…'),
      caption: trans.__('Give this object another name'),
      permission: 'write',
      single: true,
      properties: { name: text(trans.__('The new name; without it, a dialog asks')) },
      execute: ([object], { name }) => actions.rename(object, typeof name === 'string' ? name : undefined)
    },
    {
      id: CommandIDs.pin,
      label: trans.__('Pin'),
      caption: trans.__('Keep this object in memory, and from being deleted with its name'),
      icon: pinIcon,
      permission: 'write',
      hide: true,
      suits: object => !object.pinned,
      why: onlyElsewhere,
      execute: objects => actions.pin(objects, true)
    },
    {
      id: CommandIDs.unpin,
      label: trans.__('Unpin'),
      caption: trans.__('Let this object be spilled to disk again'),
      permission: 'write',
      hide: true,
      suits: object => object.pinned,
      why: onlyElsewhere,
      execute: objects => actions.pin(objects, false)
    },
    {
      id: CommandIDs.spill,
      label: trans.__('Spill to Disk'),
      caption: trans.__("Move this object from this host's memory to its disk, where it stays readable"),
      permission: 'write',
      hide: true,
      suits: object => here(object, 'memory'),
      why: object => {
        if (object.inline === true && object.kind !== 'dataset') {
          return trans.__('so small that it lies in the catalog');
        }
        return object.pinned ? trans.__('pinned') : mappedBy(object, trans);
      },
      execute: objects => actions.spill(objects)
    },
    {
      id: CommandIDs.restore,
      label: trans.__('Restore to Memory'),
      caption: trans.__("Bring this object from this host's disk back to its memory"),
      permission: 'write',
      hide: true,
      suits: object => here(object, 'disk'),
      execute: objects => actions.restore(objects)
    },
    {
      id: CommandIDs.save,
      label: trans.__('Save to File…'),
      caption: trans.__('Write this object to a file or a URL'),
      permission: 'execute',
      single: true,
      properties: { url: text(trans.__('Where to; without it, a dialog asks')) },
      execute: ([object], { url }) => actions.save(object, typeof url === 'string' ? url : undefined)
    },
    {
      id: CommandIDs.showPartitions,
      label: trans.__('Show Partitions'),
      caption: trans.__('Show which node has which partition of this dataset'),
      single: true,
      hide: true,
      suits: object => object.kind === 'dataset' && showPartitions !== undefined,
      execute: ([object]) => showPartitions?.(object)
    },
    {
      id: CommandIDs.deleteObject,
      label: trans.__('Delete…'),
      caption: trans.__('Delete this object from every node'),
      icon: closeIcon,
      permission: 'write',
      properties: { force: { type: 'boolean', description: trans.__('Delete without a question') } },
      execute: (objects, args) => actions.deleteObjects(objects, args.force === true)
    }
  ];
}

/** Who has an object mapped, so that spilling it would free nothing. */
function mappedBy({ holders }: IObject, trans: ITrans): string | null {
  const names = [...new Set(holders.map(holder => isolate(holderLabel(holder))))];
  return names.length === 0 ? null : trans.__('mapped by %1', names.slice(0, 2).join(', '));
}

/** Commands on objects that need more than one node. */
export function replicaCommands({ model, trans }: ICommandOptions): IObjectCommand[] {
  const actions = new Actions(model, trans);
  const to = {
    to: { type: 'string', description: trans.__('Id of the node; without it, a dialog asks') },
    force: { type: 'boolean', description: trans.__('Do not ask, though something has to make room') }
  };
  const nowhere = (object: IObject): string | null => {
    if (model.targets(object).length > 0) {
      return null;
    }
    if (model.state?.cluster.state !== 'connected') {
      return trans.__('there is no cluster');
    }
    const running = model.state.nodes.filter(node => node.state === 'running');
    return running.length > 1 ? trans.__('each node has it') : trans.__('no other node runs');
  };
  const nodeOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  const running = (objects: readonly IObject[]): IOperation[] =>
    (model.state?.operations ?? []).filter(
      ({ object, state }) => state === 'running' && objects.some(({ id }) => id === object)
    );
  return [
    {
      id: CommandIDs.replicate,
      label: trans.__('Replicate to Node…'),
      caption: trans.__('Make one more replica of this object, on another node'),
      icon: replicateIcon,
      permission: 'execute',
      properties: to,
      why: nowhere,
      execute: (objects, args) => actions.transfer('replicate', objects, nodeOf(args.to), args.force === true)
    },
    {
      id: CommandIDs.move,
      label: trans.__('Move to Node…'),
      caption: trans.__('Move this object to another node'),
      icon: moveIcon,
      permission: 'execute',
      properties: to,
      why: nowhere,
      execute: (objects, args) => actions.transfer('move', objects, nodeOf(args.to), args.force === true)
    },
    {
      id: CommandIDs.drop,
      label: trans.__('Drop from Node…'),
      caption: trans.__('Remove the replica of this object on one node'),
      permission: 'execute',
      properties: { node: { type: 'string', description: trans.__('Id of the node; without it, a dialog asks') } },
      suits: object => object.replicas.length > 0 && model.state?.cluster.state === 'connected',
      execute: (objects, args) => actions.drop(objects, nodeOf(args.node))
    },
    {
      id: CommandIDs.cancel,
      label: trans.__('Cancel Transfer'),
      caption: trans.__('Stop moving or replicating this object; nothing half is left'),
      permission: 'execute',
      hide: true,
      suits: object => running([object]).length > 0,
      execute: objects => actions.cancel(running(objects))
    }
  ];
}

/** Commands on nodes. */
export function nodeCommands({ model, trans }: ICommandOptions): INodeCommand[] {
  const actions = new Actions(model, trans);
  const others = (id: string): boolean =>
    (model.state?.nodes ?? []).some(node => node.state === 'running' && node.id !== id);
  return [
    {
      id: CommandIDs.drain,
      label: trans.__('Drain Node…'),
      caption: trans.__('Bring what only this node has to other nodes, so that it can go away'),
      properties: { force: { type: 'boolean', description: trans.__('Drain without a question') } },
      suits: node => node.state === 'running' && others(node.id),
      execute: (node, args) => actions.drain(node, args.force === true)
    },
    {
      id: CommandIDs.undrain,
      label: trans.__('Give Node Back'),
      caption: trans.__('Let a drained node take replicas again'),
      suits: node => node.state === 'draining' || node.state === 'drained',
      execute: node => actions.undrain(node)
    }
  ];
}

/** Put a cell below the active one of the current notebook, and leave running it to the user. */
function insertCell(notebooks: ICommandOptions['notebooks'], objects: readonly IObject[]): void {
  const panel = notebooks?.currentWidget;
  if (panel) {
    const notebook = panel.content;
    NotebookActions.insertBelow(notebook);
    notebook.activeCell?.model.sharedModel.setSource(fetchCode(objects, languageOf(panel)));
    void notebook.scrollToItem(notebook.activeCellIndex, 'smart');
  }
}
