using System.Text;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Log;

/// <summary>
/// Random lives of a log and of a copy of it, each on a simulated disk that fails, fills and loses power: the source with entries of all sizes, cuts, clean and unclean ends,
/// tails that are written again, and trimming; the copy crashing wherever it is. Whenever it gets level it has the same bytes, entries and nodes, and it never
/// lacks what it said to have.
/// </summary>
public sealed class LogCopySimulationTests
{
    [Fact]
    public void A_copy_gets_level_whatever_fails() => RunSeeds(Seed.IsLong ? 10_000 : 150, faults: true, power: true);

    [Fact]
    public void Without_faults_a_killed_copy_lacks_nothing_it_wrote() => RunSeeds(Seed.IsLong ? 3_000 : 60, faults: false, power: false);

    [Fact]
    public void Without_faults_a_copy_without_power_lacks_nothing_it_synced() => RunSeeds(Seed.IsLong ? 3_000 : 60, faults: false, power: true);

    [Fact]
    public void A_copy_that_begins_anew_now_and_then_gets_level_whatever_fails() =>
        Seed.RunLives(Seed.IsLong ? 5_000 : 100, "faults True, power True, begins anew", seed => new Life(seed, faults: true, power: true, beginsAnew: true));

    /// <summary>
    /// Lives in which a loss of power took the mark of a clean end and left the segment behind it (the first two), in which a process ended that had deleted what was
    /// not durable, but not the file of a segment behind it that could not be begun, in which the source went on showing what a start had cut off that ended too early,
    /// in which it sealed what it could not measure, in which it lost an epoch of which the copy's disk had nothing left either (two), in which a start ended that
    /// had taken away older files than what it left, in which a copy on its way back lost the node of the segment that it went back to, and in
    /// which one that a disk kept from beginning at a version called durable what was gone.
    /// </summary>
    [Theory]
    [InlineData(1679176905, true)]
    [InlineData(210022831, false)]
    [InlineData(835819230, true)]
    [InlineData(1924485290, true)]
    [InlineData(616040917, true)]
    [InlineData(1321426224, true)]
    [InlineData(1440637380, true)]
    [InlineData(1916227961, true)]
    [InlineData(308909680, true)]
    [InlineData(721272179, true)]
    public void A_copy_gets_level_in_lives_where_it_once_did_not(int seed, bool faults) => Seed.RunLife(seed, Kind(faults, true), s => new Life(s, faults, power: true));

    private static void RunSeeds(int count, bool faults, bool power) => Seed.RunLives(count, Kind(faults, power), seed => new Life(seed, faults, power));

    private static string Kind(bool faults, bool power) => $"faults {faults}, power {power}";

    /// <summary>A disk with a log on it that comes and goes.</summary>
    private sealed class Side(int seed, string name, Action<string> tell)
    {
        public readonly SimulatedDisk Disk = new(seed);
        public readonly LogWorker Worker = LogWorker.Manual();
        public WriteLog? Log;
        public ulong Checkpoint, CheckpointEpoch;
        public long Now;

        public void Tell(string what) => tell($"{name}: {what}");
    }

    private sealed unsafe class Life : ISeededLife
    {
        private readonly Random _random;
        private readonly Random? _anew; // drawn from apart, so that lives without it stay what they are
        private readonly bool _faults, _power;
        private readonly Side _source, _copy;
        private readonly LogOptions _sourceOptions, _copyOptions;
        private readonly StringBuilder _story = new();
        private readonly List<byte[]> _entries = [];
        private List<byte[]> _applied = [];

        // The state of a version that is to take the place of what was applied, and its segment. That is durable before the log is touched; nothing is taken until the log got there.
        // Without a segment nothing is to take that place.
        private (List<byte[]> Entries, SealedSegment? Segment)? _loaded;

        // What the copy has to come back with.
        private ulong _written, _synced;
        private bool _isLast, _isGoingBack;

        public Life(int seed, bool faults, bool power, bool beginsAnew = false)
        {
            _random = new Random(seed);
            _anew = beginsAnew ? new Random(~seed) : null;
            (_faults, _power) = (faults, power);
            _source = new Side(_random.Next(), "source", Tell);
            _copy = new Side(_random.Next(), "copy", Tell);
            var origin = new SegmentOrigin(LeitherId.Of("MiMei"u8), new byte[32]) { Writers = static epoch => Enumerable.Repeat((byte)(epoch & 1), 32).ToArray() };
            _sourceOptions = SimulatedLog.Options(_random, _source.Worker) with { Origin = origin };
            _copyOptions = _sourceOptions with { Fsync = (FsyncPolicy)_random.Next(3), Worker = _copy.Worker };
        }

        public string Story => _story.ToString();

        private WriteLog Source => _source.Log!;

        private WriteLog Copy => _copy.Log!;

        public void Run()
        {
            Tell($"segments {_sourceOptions.SegmentBytes}, {_sourceOptions.Fsync}, copy {_copyOptions.Fsync}");
            int steps = _random.Next(50, 400);
            for (int step = 0; step < steps; step++)
            {
                try
                {
                    if (_source.Log is null) OpenSource();
                    if (_copy.Log is null) OpenCopy();
                    if (_source.Log is not null && _random.Next(3) != 0) SourceStep();
                    else if (_copy.Log is not null && _source.Log is not null) CopyStep();
                }
                catch (SimulatedDisk.ProcessEndedException)
                {
                    if (_copy.Disk.OperationsLeft <= 0) CrashCopy();
                    if (_source.Disk.OperationsLeft <= 0) CrashSource();
                }
            }

            _copy.Disk.OperationsLeft = _source.Disk.OperationsLeft = int.MaxValue;
            _source.Disk.Heal();
            _copy.Disk.Heal();
            _isLast = true;
            if (_source.Log is null) OpenSource();
            if (_copy.Log is null) OpenCopy();
            Append();
            for (int i = 0; i < 4; i++)
            {
                Source.Tick(_source.Now += 20);
                Copy.Tick(_copy.Now += 20);
                _source.Worker.Run();
                _copy.Worker.Run();
            }

            Source.Flush();
            Assert.Equal(LogState.Open, Source.State);
            Assert.True(Source.WrittenSequence == (ulong)_entries.Count, "the source wrote all");
            if (_random.Next(2) == 0) Source.Cut();
            Assert.True(CatchUp(), "level");
            Compare();
            Source.Dispose();
            Copy.Dispose();
        }

        private void Compare()
        {
            _source.Worker.Run();
            _copy.Worker.Run();
            Assert.Equal(Source.WrittenEnd.Place, Copy.WrittenEnd.Place);
            Assert.Equal(_entries.Count, _applied.Count);
            for (int i = 0; i < _applied.Count; i++) Assert.True(_applied[i].AsSpan().SequenceEqual(_entries[i]), $"entry {i + 1} differs");
            Dictionary<SegmentStart, long> here = Copy.Places.ToDictionary(static p => p.Segment, static p => p.Length);
            foreach (LogPlace place in Source.Places)
            {
                if (!here.TryGetValue(place.Segment, out long length))
                {
                    Assert.True(Copy.Places is [] || place.Segment < Copy.Places[0].Segment, $"{place} is missing");
                    continue;
                }

                Assert.True(place.Length == length, $"{place} has {length} bytes here");
                byte[] expected = new byte[length], actual = new byte[length];
                Assert.Equal(expected.Length, Source.ReadSegment(place.Segment, 0, expected));
                Assert.Equal(actual.Length, Copy.ReadSegment(place.Segment, 0, actual));
                Assert.True(expected.AsSpan().SequenceEqual(actual), $"{place} differs");
            }

            Assert.Null(Copy.SealError);
            Assert.Empty(Copy.Chain!.Damage);
            Cid[] there = [.. Source.Chain!.Segments.Select(static s => s.Cid)], mine = [.. Copy.Chain!.Segments.Select(static s => s.Cid)];
            Assert.True(mine.Length <= there.Length && there[^mine.Length..].AsSpan().SequenceEqual(mine), "nodes differ:\n"
                + string.Join('\n', Source.Chain.Segments.Select(static s => s.Start)) + "\n--\n" + string.Join('\n', Copy.Chain.Segments.Select(static s => s.Start)));
            foreach (SealedSegment segment in Copy.Chain.Segments)
            {
                if (Copy.Chain.Has(segment.Node.Data)) Assert.Equal(segment.Length, Leither.Ipfs.Blockstore.BlockSourceExtensions.Get(Copy.Chain, segment.Node.Data)!.Length);
            }
        }

        // ---- The source

        private void OpenSource()
        {
            if (!_isLast && _random.Next(5) == 0) _source.Disk.OperationsLeft = _random.Next(60);
            try
            {
                _source.Log = WriteLog.Open(_source.Disk, _sourceOptions, new Position(_source.CheckpointEpoch, _source.Checkpoint), null);
            }
            catch (DiskException e)
            {
                _source.Tell($"open failed: {e.Message}");
                _source.Disk.Heal();
                return;
            }

            _source.Disk.OperationsLeft = !_isLast && _random.Next(3) == 0 ? _random.Next(400) : int.MaxValue;
            _source.Tell($"opened: {Source.Recovery}; files {string.Join(' ', _source.Disk.Names)}");
            _entries.RemoveRange((int)Source.LastSequence, _entries.Count - (int)Source.LastSequence);
        }

        private void SourceStep()
        {
            switch (_random.Next(28))
            {
                case < 12:
                    Append();
                    break;
                case < 17:
                    Source.Flush();
                    break;
                case < 20:
                    _source.Worker.Run();
                    break;
                case < 22:
                    Source.Tick(_source.Now += 20);
                    break;
                case 22:
                    Source.WaitSynced(Source.LastSequence);
                    break;
                case 23:
                    if (_random.Next(3) != 0 || !Source.WaitSynced(Source.LastSequence)) break;
                    (_source.Checkpoint, _source.CheckpointEpoch) = (Source.SyncedSequence, Source.Epoch);
                    Source.DropThrough(_source.Checkpoint, _random.Next(20_000));
                    break;
                case 24:
                    Source.Cut();
                    break;
                case 25:
                    if (_random.Next(4) == 0) CrashSource();
                    break;
                case 26:
                    if (_random.Next(4) == 0) CloseSource();
                    break;
                default:
                    if (_faults) _source.Tell(_source.Disk.ChangeWeather(_random));
                    break;
            }
        }

        private void Append()
        {
            int size = SimulatedLog.EntryBytes(_random);
            if (!Source.CanAccept(size, out _)) return;
            byte[] entry = new byte[10 + size];
            entry[0] = 1;
            _random.NextBytes(entry.AsSpan(2));
            Source.Begin(BitConverter.ToUInt64(entry, 2));
            for (int done = 10; done < entry.Length;)
            {
                int count = Math.Min(entry.Length - done, _random.Next(1, 5000));
                Source.Write(entry.AsSpan(done, count));
                done += count;
                if (_random.Next(20) == 0) Source.Flush();
                if (_random.Next(20) == 0) _source.Worker.Run();
                if (_random.Next(20) == 0 && _copy.Log is not null) CatchUpInside();
            }

            _entries.Add(entry);
            Source.End();
        }

        /// <summary>In the middle of an entry.</summary>
        private void CatchUpInside()
        {
            try
            {
                CatchUp();
            }
            catch (SimulatedDisk.ProcessEndedException) when (_copy.Disk.OperationsLeft <= 0 && _source.Disk.OperationsLeft > 0)
            {
                CrashCopy();
            }
        }

        private void CloseSource()
        {
            try
            {
                Source.Close();
                _source.Disk.Kill();
                _source.Log = null;
                _source.Tell("closed");
            }
            catch (DiskException)
            {
                CrashSource();
            }
        }

        private void CrashSource()
        {
            if (_power && _random.Next(2) == 0) _source.Disk.LosePower();
            else _source.Disk.Kill();
            _source.Log?.Dispose();
            _source.Log = null;
            _source.Tell("crashed");
            if (_random.Next(2) == 0) _source.Disk.Heal();
        }

        // ---- The copy

        private void OpenCopy()
        {
            if (!_isLast && _random.Next(4) == 0) _copy.Disk.OperationsLeft = _random.Next(60);
            List<byte[]> before = _loaded?.Entries ?? _applied, applied = before[..(int)_copy.Checkpoint];
            try
            {
                if (_loaded is not null)
                {
                    WriteLog.Empty(_copy.Disk, (ulong)_loaded.Value.Entries.Count);
                    Assert.All(_copy.Disk.Names, static name => Assert.StartsWith(LogFormat.UndonePrefix, name, StringComparison.Ordinal));
                }

                _copy.Log = WriteLog.OpenCopy(_copy.Disk, _copyOptions, new Position(_copy.CheckpointEpoch, _copy.Checkpoint), (sequence, entry, length) =>
                {
                    Assert.Equal((ulong)applied.Count + 1, sequence);
                    applied.Add(new ReadOnlySpan<byte>(entry, (int)length).ToArray());
                });
                if (_loaded is { } unended) Copy.BeginCopyAt(unended.Segment, (ulong)unended.Entries.Count);
                _loaded = null;
            }
            catch (DiskException e)
            {
                _copy.Log?.Dispose();
                _copy.Log = null;
                _copy.Tell($"open failed: {e.Message}");
                _copy.Disk.Heal();
                return;
            }

            _copy.Disk.OperationsLeft = !_isLast && _random.Next(3) == 0 ? _random.Next(400) : int.MaxValue;
            _copy.Tell($"opened: {Copy.Recovery}; ends {Copy.WrittenEnd}; files {string.Join(' ', _copy.Disk.Names)}");
            Assert.True(Copy.LastSequence >= _written, $"{Copy.LastSequence} came back, {_written} were safe");
            Assert.True((ulong)applied.Count == Math.Max(Copy.LastSequence, _copy.Checkpoint), $"{applied.Count} given of {Copy.LastSequence}");
            for (int i = 0; i < Math.Min(applied.Count, before.Count); i++) Assert.True(applied[i].AsSpan().SequenceEqual(before[i]), $"entry {i + 1} came back another");
            _applied = applied;
            _synced = Copy.SyncedSequence;
            Copy.DroppedBack = () =>
            {
                _copy.Tell($"dropped back to {Copy.LastSequence}");
                Assert.True(Copy.LastSequence >= _synced, $"dropped back to {Copy.LastSequence}, {_synced} were synced");
            };
        }

        private void CopyStep()
        {
            if (_anew?.Next(12) == 0) BeginAnew();
            switch (_random.Next(20))
            {
                case < 9:
                    CatchUp();
                    break;
                case < 12:
                    _copy.Worker.Run();
                    break;
                case < 14:
                    Copy.Tick(_copy.Now += 20);
                    break;
                case 14:
                    if (Copy.WaitSynced(Copy.LastSequence)) Assert.Equal(Copy.LastSequence, Copy.SyncedSequence);
                    break;
                case 15:
                    if (_loaded is not null || _random.Next(3) != 0 || Copy.LastSequence != (ulong)_applied.Count || !Copy.WaitSynced(Copy.LastSequence)) break;
                    (_copy.Checkpoint, _copy.CheckpointEpoch) = (Copy.LastSequence, Copy.Epoch);
                    Copy.DropThrough(_copy.Checkpoint, _random.Next(20_000));
                    _copy.Tell($"checkpoint {_copy.Checkpoint}");
                    break;
                case 16:
                    CrashCopy();
                    break;
                case 17:
                    CloseCopy();
                    break;
                default:
                    if (_faults) _copy.Tell(_copy.Disk.ChangeWeather(_random));
                    break;
            }

            if (_copy.Log is not null) _synced = Math.Max(_synced, Copy.SyncedSequence);
        }

        private bool CatchUp()
        {
            var follower = new LogFollower(Copy, _random)
            {
                Applied = _applied,
                GoingBack = () => _isGoingBack = true, // a process that ends meanwhile may have gone back or not
                Undone = left =>
                {
                    _isGoingBack = false;
                    _copy.Tell($"went back to {left}");
                    (_copy.Checkpoint, _copy.CheckpointEpoch) = (Math.Min(_copy.Checkpoint, left), Math.Min(_copy.CheckpointEpoch, Copy.Epoch));
                    _synced = Math.Min(_synced, left);
                },
            };
            try
            {
                if (_loaded is { Segment: null })
                {
                    Change([], null);
                    return CatchUp();
                }

                if (_loaded is not null) return Load() && CatchUp();
                bool level = follower.CatchUp(Source);
                _isGoingBack = false;
                if (!level && follower.IsBehind) return Load() && CatchUp();
                if (!_faults) Assert.True(level || follower.IsBehind);
                return level;
            }
            catch (IOException e) when (e is not LogCorruptedException)
            {
                _copy.Tell($"catching up: {e.Message}");
                _isGoingBack = false;
                _synced = Math.Min(_synced, Copy.SyncedSequence); // it may have got half the way back
                if (!_faults) throw;
                return false;
            }
        }

        /// <summary>What it lacks is not there any more: it takes the state of a version.</summary>
        private bool Load()
        {
            if (Source.InEntry) return false;
            Source.Cut();
            if (Source.LastSequence == 0 || Source.Seal(Source.LastSequence) is not { } segment) return false;
            _copy.Tell($"loads {segment.Node.To}");

            Change(_entries[..(int)segment.Node.To], segment);
            return true;
        }

        /// <summary>All there is goes.</summary>
        private void BeginAnew()
        {
            _copy.Tell("begins anew");
            try
            {
                Change([], null);
            }
            catch (IOException e)
            {
                _copy.Tell($"beginning anew: {e.Message}");
                return;
            }

            Assert.Equal(default, Copy.WrittenEnd.Place);
            Assert.Empty(Copy.Chain!.Segments);
        }

        private void Change(List<byte[]> entries, SealedSegment? segment)
        {
            _loaded = (entries, segment);
            (_copy.Checkpoint, _copy.CheckpointEpoch) = ((ulong)entries.Count, segment?.Node.Epoch ?? 0);
            try
            {
                Copy.BeginCopyAt(segment, (ulong)entries.Count);
            }
            finally
            {
                _synced = Copy.SyncedSequence;
            }

            Assert.Equal((ulong)entries.Count, _synced);
            (_applied, _loaded) = (entries, null);
        }

        private void CloseCopy()
        {
            try
            {
                ulong last = Copy.LastSequence;
                Copy.Close();
                if (_power && _random.Next(2) == 0) _copy.Disk.LosePower();
                else _copy.Disk.Kill();
                _written = _loaded is null ? last : 0;
                _copy.Log = null;
                _copy.Tell("closed");
            }
            catch (DiskException)
            {
                CrashCopy();
            }
        }

        private void CrashCopy()
        {
            if (_copy.Log is not null) _synced = Math.Max(_synced, Copy.SyncedSequence);
            if (_isGoingBack || _loaded is not null) _synced = _written = 0;
            if (_power && _random.Next(2) == 0)
            {
                _written = _synced;
                _copy.Disk.LosePower();
            }
            else
            {
                _written = Math.Max(_synced, _isGoingBack || _loaded is not null ? 0 : _copy.Log?.WrittenSequence ?? _written);
                _isGoingBack = false;
                _copy.Disk.Kill();
            }

            _copy.Log?.Dispose();
            _copy.Log = null;
            _copy.Tell($"crashed, {_written} are safe");
            if (_random.Next(2) == 0) _copy.Disk.Heal();
        }

        private void Tell(string what) => _story.Append(what).Append('\n');
    }
}
