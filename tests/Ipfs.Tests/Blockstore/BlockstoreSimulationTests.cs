using System.Buffers;
using System.Globalization;
using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;
using Leither.TestKit;
using Xunit;

namespace Leither.Ipfs.Tests.Blockstore;

/// <summary>
/// Random lives of a store on a simulated disk: trees and single blocks come and go, collections and purges run in between, disks fail and fill up,
/// processes are killed, power is lost. All that was flushed and is reachable must be there after each, and nothing that was purged.
/// </summary>
public sealed class BlockstoreSimulationTests
{
    [Fact]
    public void All_that_was_flushed_and_is_reachable_is_there_whatever_fails() => RunSeeds(Seed.IsLong ? 20_000 : 250, faults: true, power: true);

    [Fact]
    public void Without_faults_a_kill_at_any_operation_loses_nothing_flushed() => RunSeeds(Seed.IsLong ? 5_000 : 80, faults: false, power: false);

    [Fact]
    public void Without_faults_a_loss_of_power_loses_nothing_flushed() => RunSeeds(Seed.IsLong ? 5_000 : 80, faults: false, power: true);

    private static void RunSeeds(int count, bool faults, bool power) =>
        Seed.RunLives(count, $"faults {faults}, power {power}", seed => new Life(seed, faults, power));

    private sealed class Life : ISeededLife
    {
        private readonly Random _random;
        private readonly SimulatedDisk _disk;
        private readonly bool _faults, _power;
        private readonly FileBlockstoreOptions _options;
        private readonly StringBuilder _story = new();

        // Everything that ever was, by CID, to look for what should be gone.
        private readonly Dictionary<Cid, byte[]> _ever = [];

        // Trees that are roots, and whether they were flushed; single blocks likewise (roots too). What is deleted: whether that was flushed.
        private readonly List<(Tree Tree, bool IsFlushed)> _trees = [];
        private readonly Dictionary<Cid, bool> _singles = [];
        private readonly Dictionary<Cid, bool> _deleted = [];
        private BlockCollection? _collection;
        private bool _isPurge, _changedSinceBegun, _troubled;
        private int _seeds;

        public Life(int seed, bool faults, bool power)
        {
            _random = new Random(seed);
            _disk = new SimulatedDisk(_random.Next());
            (_faults, _power) = (faults, power);
            uint salt = 0;
            _options = new FileBlockstoreOptions
            {
                MaxPackBytes = 2048 << _random.Next(5),
                BufferBytes = 512 << _random.Next(5),
                MaxRecentBlocks = 1 << _random.Next(8),
                Salt = () => ++salt,
            };
        }

        public string Story => _story.ToString();

        public void Run()
        {
            Tell($"packs {_options.MaxPackBytes}, buffer {_options.BufferBytes}, recent {_options.MaxRecentBlocks}");
            int lives = _random.Next(2, 7);
            for (int i = 0; i < lives; i++)
            {
                FileBlockstore store = new(_disk, _options);
                try
                {
                    _disk.OperationsLeft = _random.Next(3) == 0 ? _random.Next(400) : int.MaxValue;
                    int steps = _random.Next(80);
                    for (int step = 0; step < steps; step++) Step(store);
                    if (_random.Next(3) == 0) CloseWell(store);
                    else Crash();
                }
                catch (SimulatedDisk.ProcessEndedException)
                {
                    Tell("ended in the middle of an operation");
                    Crash();
                }
                _collection = null;
                Verify();
            }
        }

        private void Step(FileBlockstore store)
        {
            try
            {
                switch (_random.Next(26))
                {
                    case < 6:
                        PutTree(store);
                        break;
                    case < 9:
                        PutSingle(store);
                        break;
                    case 9:
                        DeleteSingle(store);
                        break;
                    case < 13:
                        Flush(store);
                        break;
                    case < 15:
                        DropTree();
                        break;
                    case < 20:
                        Collect(store);
                        break;
                    case 20:
                        store.Trim();
                        break;
                    case 21:
                        store.Maintain(_random.Next(2) == 0 ? TimeSpan.Zero : TimeSpan.FromSeconds(1));
                        break;
                    case < 25:
                        Look(store);
                        break;
                    default:
                        if (_faults) ChangeWeather();
                        break;
                }
            }
            catch (DiskException e)
            {
                Tell($"failed: {e.Message}");
                Assert.True(_faults, e.Message);
                _troubled = true;
                if (e.Message.Contains("lost")) Forget();
            }
        }

        private void PutTree(FileBlockstore store)
        {
            int seed = _random.Next(3) == 0 ? _random.Next(8) : 1000 + _seeds++;
            Tell($"tree {seed}");
            Tree tree;
            _changedSinceBegun = true;
            using (store.ProtectPuts())
            {
                // What a failing put leaves behind is garbage, but known.
                var source = new MemoryBlockstore();
                tree = Tree.Make(source, seed, depth: _random.Next(3), fanout: 1 + _random.Next(4), leafBytes: _random.Next(10) == 0 ? 3000 : 100);
                foreach (Cid cid in tree.All) _ever[cid] = tree.Data(cid);
                foreach (Cid cid in tree.All)
                {
                    store.Put(cid, tree.Data(cid));
                    if (_random.Next(20) == 0) StepCollection();
                }
                foreach (Cid cid in tree.All) _deleted.Remove(cid);
                _trees.Add((tree, false));
            }
        }

        private void PutSingle(FileBlockstore store)
        {
            (Cid cid, byte[] data) = Blocks.Raw(60, _random.Next(30));
            Tell($"single {cid}");
            _changedSinceBegun = true;
            _ever[cid] = data;
            _deleted.Remove(cid); // whatever comes of it
            if (store.Put(cid, data) || !_singles.ContainsKey(cid)) _singles[cid] = false;
        }

        private void DeleteSingle(FileBlockstore store)
        {
            if (_singles.Count == 0) return;
            Cid cid = _singles.Keys.ElementAt(_random.Next(_singles.Count));
            Tell($"delete {cid}");
            _singles.Remove(cid);
            _changedSinceBegun = true;
            Assert.True(store.Delete(cid) || _troubled);
            _deleted[cid] = false;
        }

        private void Flush(FileBlockstore store)
        {
            store.Flush();
            Flushed();
            Tell("flushed");
        }

        private void Flushed()
        {
            for (int i = 0; i < _trees.Count; i++) _trees[i] = (_trees[i].Tree, true);
            foreach (Cid cid in _singles.Keys.ToArray()) _singles[cid] = true;
            foreach (Cid cid in _deleted.Keys.ToArray()) _deleted[cid] = true;
        }

        /// <summary>What was not flushed may be there or not.</summary>
        private void Forget()
        {
            _trees.RemoveAll(static t => !t.IsFlushed);
            foreach ((Cid cid, bool flushed) in _singles.ToArray())
            {
                if (!flushed) _singles.Remove(cid);
            }
            foreach ((Cid cid, bool flushed) in _deleted.ToArray())
            {
                if (!flushed) _deleted.Remove(cid);
            }
        }

        private void DropTree()
        {
            if (_trees.Count == 0) return;
            _trees.RemoveAt(_random.Next(_trees.Count));
            _changedSinceBegun = true;
            Tell("a tree is dropped");
        }

        private void Collect(FileBlockstore store)
        {
            if (_collection is null)
            {
                _isPurge = _random.Next(2) == 0;
                Tell(_isPurge ? "purge" : "collection");
                _changedSinceBegun = false;
                _troubled = false;
                _collection = store.Collect(new CollectionOptions { Roots = Roots, Links = Blocks.Links, Purge = _isPurge, MaxDeadShare = _random.NextDouble() });
            }
            int steps = _random.Next(4) == 0 ? 10_000 : _random.Next(60);
            for (int i = 0; i < steps && _collection is not null; i++) StepCollection();
            if (_random.Next(15) == 0 && _collection is not null)
            {
                Tell("given up");
                _collection.Dispose();
                _collection = null;
            }
        }

        private void StepCollection()
        {
            if (_collection is null) return;
            try
            {
                if (!_collection.Step(TimeSpan.Zero)) return;
            }
            catch (DiskException e)
            {
                Tell($"collection failed: {e.Message}");
                Assert.True(_faults, e.Message);
                _troubled = true;
                _collection = null;
                if (e.Message.Contains("lost")) Forget();
                return;
            }
            CollectionReport report = _collection.Report;
            Tell($"collected: {report.LiveBlocks} live, {report.FreedBytes} freed");
            _collection = null;
            Assert.Empty(report.Damage);
            if (_isPurge && !_changedSinceBegun && !_troubled) NothingIsLeft();
        }

        /// <summary>After a purge: no byte of what is not reachable is in any file.</summary>
        private void NothingIsLeft()
        {
            HashSet<Multihash> kept = [.. Reachable().Select(static c => c.Multihash)];
            foreach ((Cid cid, byte[] data) in _ever)
            {
                if (kept.Contains(cid.Multihash) || data.Length < 16) continue;
                // Nodes may share their links with others; leaves share nothing.
                bool isNode = cid.Codec != Multicodec.Raw;
                foreach (string name in _disk.Names)
                {
                    ReadOnlySpan<byte> file = _disk.Content(name);
                    int at = Math.Max(file.IndexOf(isNode ? data : data.AsSpan(data.Length - 16)), isNode ? -1 : file.IndexOf(data.AsSpan(0, 16)));
                    Assert.True(at < 0, $"{cid} was purged, and is still there, in {name} at {at} of {file.Length}; files: {string.Join(' ', _disk.Names)}");
                }
            }
        }

        private IEnumerable<Cid> Roots()
        {
            foreach ((Tree tree, _) in _trees.ToArray()) yield return tree.Root;
            foreach (Cid cid in _singles.Keys.ToArray()) yield return cid;
        }

        private IEnumerable<Cid> Reachable() => _trees.SelectMany(static t => t.Tree.All).Concat(_singles.Keys);

        private void Look(FileBlockstore store)
        {
            foreach ((Tree tree, _) in _trees)
            {
                Cid cid = tree.All[_random.Next(tree.All.Count)];
                Assert.Equal(tree.Data(cid), store.Get(cid));
            }
            foreach (Cid cid in _singles.Keys) Assert.Equal(_ever[cid], store.Get(cid));
            foreach (Cid cid in _deleted.Keys) Assert.False(store.Has(cid), $"{cid} was deleted");
        }

        /// <summary>On a healthy disk, after a start: all that was flushed is there, and what is there is intact.</summary>
        private void Verify()
        {
            Func<string, bool> weather = _disk.Fails;
            _disk.Fails = static _ => false;
            (long capacity, _disk.Capacity) = (_disk.Capacity, long.MaxValue);
            using (FileBlockstore store = new(_disk, _options))
            {
                Forget();
                foreach ((Tree tree, _) in _trees)
                {
                    foreach (Cid cid in tree.All) Assert.True(tree.Data(cid).AsSpan().SequenceEqual(store.Get(cid)), $"{cid} was flushed, and is gone");
                }
                foreach (Cid cid in _singles.Keys) Assert.True(_ever[cid].AsSpan().SequenceEqual(store.Get(cid)), $"{cid} was flushed, and is gone");
                foreach (Cid cid in _deleted.Keys) Assert.False(store.Has(cid), $"{cid} was deleted");
                var listed = new HashSet<Multihash>();
                foreach (Cid cid in store.Cids())
                {
                    Assert.True(listed.Add(cid.Multihash), $"{cid} is listed twice");
                    Assert.True(_ever[cid].AsSpan().SequenceEqual(store.Get(cid)), $"{cid} is listed, and is gone");
                }
                Assert.All(Reachable(), cid => Assert.Contains(cid.Multihash, listed));
                Tell($"opened: {store.Figures}; {string.Join(", ", store.Damage)}");
            }
            _disk.Kill();
            _disk.Capacity = capacity;
            _disk.Fails = weather;
            if (_random.Next(2) == 0) Heal();
        }

        private void ChangeWeather()
        {
            switch (_random.Next(3))
            {
                case 0:
                    Heal();
                    break;
                case 1:
                    _disk.Capacity = _disk.Capacity - _disk.FreeBytes + _random.Next(20_000);
                    Tell($"free {_disk.FreeBytes}");
                    break;
                default:
                    string[] all = ["write", "sync", "create", "delete", "sync directory", "read", "open", "list"];
                    string[] some = [.. all.Where(_ => _random.Next(4) == 0)];
                    double chance = _random.NextDouble();
                    _disk.Fails = operation => some.Contains(operation) && _random.NextDouble() < chance;
                    Tell(string.Create(CultureInfo.InvariantCulture, $"failing {chance:f2}: {string.Join(", ", some)}"));
                    break;
            }
        }

        private void Heal()
        {
            Tell("healed");
            _disk.Fails = static _ => false;
            _disk.Capacity = long.MaxValue;
        }

        private void CloseWell(FileBlockstore store)
        {
            bool healed = _random.Next(2) == 0;
            if (healed) Heal();
            try
            {
                _collection?.Dispose();
                store.Close();
                Flushed();
                Tell("closed");
                Assert.Equal(0, _disk.OpenHandles);
                if (_power && _random.Next(2) == 0) _disk.LosePower();
                else _disk.Kill();
            }
            catch (DiskException e)
            {
                Assert.True(_faults, e.Message);
                Tell($"close failed: {e.Message}");
                Crash();
            }
        }

        private void Crash()
        {
            if (_power && _random.Next(2) == 0) _disk.LosePower();
            else _disk.Kill();
            Forget();
            Tell("crashed");
        }

        private void Tell(string what) => _story.Append(what).Append('\n');
    }
}
