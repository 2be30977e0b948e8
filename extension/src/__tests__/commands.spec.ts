import { Dialog, Notification } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';

import { ApiError } from '../api';
import { addCommands } from '../commands';
import { WorkbenchModel } from '../model';
import { CommandIDs } from '../tokens';
import { FakeApi, NODE_A, NODE_B, makeObject, makeOperation, makeState, until } from './fixtures';

const ID = makeObject().id;

describe('commands', () => {
  let api: FakeApi;
  let model: WorkbenchModel;
  let commands: CommandRegistry;

  beforeEach(async () => {
    api = new FakeApi();
    model = new WorkbenchModel({ api, fastInterval: 10 });
    commands = new CommandRegistry();
    addCommands({
      commands,
      model,
      trans: nullTranslator.load('test'),
      notebooks: null as INotebookTracker | null,
      openPanel: () => undefined
    });
    await model.refresh();
    model.selection = ID;
  });

  afterEach(() => {
    model.dispose();
    Notification.dismiss();
    Dialog.flush();
  });

  const notices = (): string[] => Notification.manager.notifications.map(({ type, message }) => `${type}: ${message}`);

  /** Answer the dialog that is open. */
  async function press(label: string): Promise<void> {
    await until(() => document.querySelector('.jp-Dialog-footer button') !== null);
    const buttons = [...document.querySelectorAll<HTMLButtonElement>('.jp-Dialog-footer button')];
    const button = buttons.find(candidate => candidate.textContent === label);
    if (button === undefined) {
      throw new Error(`no button ${label} among ${buttons.map(other => other.textContent).join(', ')}`);
    }
    button.click();
    await until(() => !button.isConnected);
  }

  it('each describe their arguments', async () => {
    for (const id of Object.values(CommandIDs)) {
      const { args } = await commands.describedBy(id);
      expect(args).toMatchObject({ type: 'object' });
    }
  });

  it('are disabled without an object, and where there is no other node', async () => {
    expect(commands.isEnabled(CommandIDs.replicate)).toBe(true);
    expect(commands.isEnabled(CommandIDs.insertCode)).toBe(false);
    api.answer = makeState({ version: '2', nodes: [NODE_A] });
    await model.refresh();
    expect(commands.isEnabled(CommandIDs.move)).toBe(false);
    expect(commands.isEnabled(CommandIDs.deleteObject)).toBe(true);
    model.selection = null;
    expect(commands.isEnabled(CommandIDs.deleteObject)).toBe(false);
    expect(commands.isEnabled(CommandIDs.deleteObject, { object: ID })).toBe(true);
  });

  it('replicate asks for the node, follows the operation and says that it is done, in one notice', async () => {
    api.answer = makeState({ version: '2', operations: [makeOperation()] });
    const done = commands.execute(CommandIDs.replicate);
    await press('Replicate');
    await until(() => notices().includes('in-progress: Replicating “flights” to node-b'));
    api.answer = makeState({ version: '3', operations: [makeOperation({ state: 'done', done_nbytes: 100 })] });
    await done;
    expect(api.calls).toContain(`replicate ${ID} ${NODE_B.id}`);
    expect(notices()).toEqual(['success: “flights” has a replica on node-b']);
  });

  it('move says why it failed, in the words of the server', async () => {
    const error = { kind: 'store-full', message: 'node-b is full' };
    api.answer = makeState({ version: '2', operations: [makeOperation({ state: 'failed', error })] });
    await commands.execute(CommandIDs.move, { object: ID, to: NODE_B.id });
    expect(api.calls).toContain(`move ${ID} ${NODE_B.id}`);
    expect(notices()).toEqual(['error: Moving “flights” to node-b failed: node-b is full']);
  });

  it('drop asks twice before the last replica goes', async () => {
    const drop = jest.spyOn(api, 'drop');
    drop.mockRejectedValueOnce(new ApiError('last-replica', 'the last one', 409)).mockResolvedValueOnce(undefined);
    const done = commands.execute(CommandIDs.drop);
    await press('Drop');
    await press('Destroy Object');
    await done;
    expect(drop.mock.calls).toEqual([
      [ID, NODE_A.id],
      [ID, NODE_A.id, true]
    ]);
    expect(notices()).toEqual(['success: “flights” was dropped from node-a']);
  });

  it('drop keeps the last replica when the user thinks better of it', async () => {
    const drop = jest.spyOn(api, 'drop').mockRejectedValueOnce(new ApiError('last-replica', 'the last one', 409));
    const done = commands.execute(CommandIDs.drop, { node: NODE_A.id });
    await press('Cancel');
    await done;
    expect(drop).toHaveBeenCalledTimes(1);
    expect(notices()).toEqual([]);
  });

  it('delete asks first', async () => {
    let done = commands.execute(CommandIDs.deleteObject);
    await press('Cancel');
    await done;
    expect(api.count('delete')).toBe(0);
    done = commands.execute(CommandIDs.deleteObject);
    await press('Delete');
    await done;
    expect(api.calls).toContain(`delete ${ID}`);
    expect(notices()).toEqual(['success: “flights” was deleted']);
  });
});
